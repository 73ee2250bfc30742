//! The HTTP server of `[http]`, and who may use it.

pub mod access;
pub mod guesses;
pub mod http_listener;
pub mod listener;
pub mod routes;
