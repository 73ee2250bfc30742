//! The webhook sink: requests, answers, transport and authorization.

pub(crate) mod authorizing;
pub(crate) mod misbehaviour;
pub(crate) mod outcomes;
pub(crate) mod payloads;
pub(crate) mod proxied;
pub(crate) mod reaching;
pub(crate) mod stale;
