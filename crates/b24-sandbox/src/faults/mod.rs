//! Scripted faults and their effects on responses.

pub mod effects;
pub mod rewrite;
pub mod script;
pub mod transport;
