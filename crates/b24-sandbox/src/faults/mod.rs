//! Scripted faults and their effects on responses.

pub(crate) mod effects; // applies a fault to a response
pub(crate) mod rewrite; // edits the JSON of a response
pub(crate) mod script; // which fault is next
pub(crate) mod transport; // closed, cut and slow responses
