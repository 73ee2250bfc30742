//! The HTTP server of `[http]`, and who may use it.

pub mod access; // who may ask
pub mod guesses; // slows down wrong tokens
pub mod http_listener;
pub mod listener; // limits on clients
pub mod routes; // the answers // the listener, which a reload can replace
