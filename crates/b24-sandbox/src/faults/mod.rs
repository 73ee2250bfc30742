//! What goes wrong on demand: scripted faults and how they change an answer.

pub mod effects;
pub mod rewrite;
pub mod script;
pub mod transport;
