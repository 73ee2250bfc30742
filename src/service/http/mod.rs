//! The HTTP server of `[http]`, and who may use it.

pub mod access; // who may ask
pub mod guesses; // slows down wrong tokens
pub mod listener; // limits on clients
pub mod routes; // the answers
pub mod surface; // the listener, which a reload can replace
