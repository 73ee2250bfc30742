//! The client for Bitrix24: one call, the classification of its response, and the event queue on top of it.
//!
//! All sources of one portal share a [`Site`], and all users of one OAuth login a [`Grant`].

mod answer; // parses responses
mod call; // one request
mod class; // every refusal and the caller's next action, as a table
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod limits; // how often a portal may be asked
mod memory; // values that survive a restart
pub mod methods; // the REST methods, by topic
mod oauth; // logins and their tokens
mod refusal; // a call without a result, and the text that is shown
mod site; // one portal as its sources share it
mod upstream; // the interface that the relay uses

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
