//! All that is spoken to Bitrix24: one call, what its answer means, and the queue behind it.
//!
//! Reading order: [`upstream`](Upstream) is what the relay asks for, [`queue`](EventQueue) answers it, `call` carries one request, `answer`
//! knows the wire's shapes, `odd` (by `scan`) pages with an event that cannot be read, `unreadable` answers without JSON, `class` turns every
//! refusal and symptom into what the caller does next, `intermediary` names what answered instead of a portal.
//! `site` and `budget` are what all sources of one portal share, `grant` is what all users of one
//! OAuth login share; `authorization` and `tokens` are behind it. `memory` outlives the process.
//! `account`, `handlers` and `bots` are what the commands ask beside the queue; `lenient` reads it, and `tries` says how
//! often they ask.

mod answer;
mod call;
mod class;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod memory;
pub mod methods;
mod oauth;
mod refusal;
mod site;
mod upstream;

pub use call::{Caller, Credential, proxy_to};
pub use class::Class;
pub use limits::budget::Purpose;
pub use limits::tries::Tries;
pub use memory::Memory;
pub use methods::queue::EventQueue;
pub use oauth::authorization::{Attempt, Authorization, Claim, authorize_url};
pub use oauth::grant::{Grant, keep};
pub use oauth::tokens::Tokens;
pub use refusal::CallError;
pub use site::{Site, home_key};
pub use upstream::Upstream;
