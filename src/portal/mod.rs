//! The client for Bitrix24: one call, the classification of its response, and the event queue on top of it.
//!
//! All sources of one portal share a [`PortalState`], and all users of one OAuth login an [`OAuthSession`].

mod answer; // parses responses
mod class; // every refusal and the caller's next action, as a table
mod client; // one request
mod facts; // what every portal does, as constants
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod key_value; // values that survive a restart
mod limits; // how often a portal may be asked
pub mod methods; // the REST methods, by topic
mod oauth; // logins and their tokens
mod portal_state; // one portal as its sources share it
mod refusal; // a call without a result, and the text that is shown
mod upstream; // the interface that the relay uses

pub use class::Class;
pub use client::{Credential, PortalClient, proxy_to};
pub use facts::{EVENT_LIFETIME, OPERATING_UNKNOWN, PAGE_MAX};
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
