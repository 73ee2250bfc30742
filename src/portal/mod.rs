//! All that is spoken to Bitrix24: one call, what its answer means, and the queue behind it.
//!
//! Reading order: [`queue`](UserQueue) is what the relay uses, `call` carries one request, `answer`
//! knows the wire's shapes, `class` turns every refusal and symptom into what the caller does next.

mod answer;
mod call;
mod class;
mod queue;

pub use call::{CallError, Caller};
pub use class::Class;
pub use queue::UserQueue;
