//! The webhook sink: requests, answers, transport and authorization.

pub mod authorizing;
pub mod letters;
pub mod misbehaviour;
pub mod outcomes;
pub mod proxied;
pub mod reaching;
pub mod stale;
