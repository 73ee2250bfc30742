//! What commands and the page read of the state.

pub(super) mod reader; // reads within the daemon
pub(super) mod sources; // for `status`
pub(super) mod undelivered; // events that a command would take from a sink
