//! What commands and the page read of the state.

pub mod reader;
pub mod sources;
pub mod undelivered;
