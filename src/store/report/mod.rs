//! What commands and the page read of the state.

pub mod reader; // reads within the daemon
pub mod sources; // for `status`
pub mod undelivered; // events that a command would take from a sink
