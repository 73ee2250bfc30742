//! The HTTP server of `[http]`, and who may use it.

pub mod access;
pub mod guesses;
pub mod server;
pub mod surface;
