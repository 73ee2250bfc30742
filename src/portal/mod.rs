//! The client for Bitrix24: one call, the classification of its response, and the event queue on top of it.
//!
//! Reading order:
//! - [`upstream`](Upstream) is the interface that the relay uses, and [`queue`](EventQueue) implements it.
//! - `call` makes one request, and `answer` parses the response.
//! - `odd` parses a page with an unreadable event, with the help of `scan`. `unreadable` handles responses
//!   without JSON.
//! - `class` maps every refusal and symptom to the next action of the caller, and `intermediary` describes
//!   responses that do not come from a portal.
//! - `site` and `budget` are shared by all sources of one portal, `grant` by all users of one OAuth login.
//!   `authorization` and `tokens` belong to `grant`.
//! - `memory` stores values across restarts.
//! - `account`, `handlers` and `bots` are calls for the commands. `lenient` parses their responses, and
//!   `tries` limits their retries.

mod answer;
mod class;
mod client;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod key_value;
mod limits;
pub mod methods;
mod oauth;
mod portal_state;
mod refusal;
mod upstream;

pub use class::Class;
pub use client::{Credential, PortalClient, proxy_to};
pub use key_value::KeyValue;
pub use limits::budget::Purpose;
pub use limits::tries::Tries;
pub use methods::queue::EventQueue;
pub use oauth::authorization::{Attempt, Authorization, TokenRequest, authorize_url};
pub use oauth::session::{OAuthSession, keep};
pub use oauth::tokens::Tokens;
pub use portal_state::{PortalState, home_key};
pub use refusal::CallError;
pub use upstream::Upstream;
