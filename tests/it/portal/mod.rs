//! What a portal does to its readers: limits, faults, refusals, moves and restores.

pub(crate) mod budget;
pub(crate) mod connections;
pub(crate) mod faults;
pub(crate) mod maintenance;
pub(crate) mod odd_events;
pub(crate) mod refusals;
pub(crate) mod refused_source;
pub(crate) mod renamed;
pub(crate) mod restored;
pub(crate) mod retention;
pub(crate) mod tail;
pub(crate) mod whose_queue;
