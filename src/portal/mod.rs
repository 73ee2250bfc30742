//! All that is spoken to Bitrix24: one call, what its answer means, and the queue behind it.
//!
//! Reading order: [`queue`](UserQueue) is what the relay uses, `call` carries one request, `answer`
//! knows the wire's shapes, `class` turns every refusal and symptom into what the caller does next.
//! `account`, `handlers` and `bots` are what the commands ask beside the queue; `lenient` reads it.

pub mod account;
mod answer;
pub mod bots;
mod call;
mod class;
pub mod handlers;
mod lenient;
mod queue;

pub use call::{CallError, Caller};
pub use class::Class;
pub use queue::UserQueue;
