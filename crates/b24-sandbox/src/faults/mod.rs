//! Scripted faults and their effects on responses.

pub mod effects; // applies a fault to a response
pub mod rewrite; // edits the JSON of a response
pub mod script; // which fault is next
pub mod transport; // closed, cut and slow responses
