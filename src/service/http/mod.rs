//! The HTTP server of `[http]`, and who may use it.

pub(super) mod access; // who may ask
pub(super) mod guesses; // slows down wrong tokens
pub(super) mod http_listener; // the listener, which a reload can replace
pub(super) mod listener; // limits on clients
pub(super) mod routes; // the answers
