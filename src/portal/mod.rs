//! All that is spoken to Bitrix24: one call, what its answer means, and the queue behind it.
//!
//! Reading order: [`upstream`](Upstream) is what the relay asks for, [`queue`](EventQueue) answers it, `call` carries one request, `answer`
//! knows the wire's shapes, `class` turns every refusal and symptom into what the caller does next, `intermediary` names what answered instead of a portal.
//! `site` and `budget` are what all sources of one portal share, `grant` is what all users of one
//! OAuth login share; `authorization` and `tokens` are behind it. `memory` outlives the process.
//! `account`, `handlers` and `bots` are what the commands ask beside the queue; `lenient` reads it.

pub mod account;
mod answer;
mod authorization;
pub mod bots;
mod budget;
mod call;
mod class;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod grant;
pub mod handlers;
mod intermediary;
mod lenient;
mod memory;
mod operating;
mod queue;
mod refusal;
mod site;
mod tokens;
mod upstream;
mod vendor;

pub use authorization::{Attempt, Authorization, Claim, authorize_url};
pub use budget::Purpose;
pub use call::{Caller, Credential, proxy_to};
pub use class::Class;
pub use grant::{Grant, keep};
pub use memory::Memory;
pub use queue::EventQueue;
pub use refusal::CallError;
pub use site::{Site, home_key};
pub use tokens::Tokens;
pub use upstream::Upstream;
