//! What a portal does to its readers: limits, faults, refusals, moves and restores.

pub mod budget;
pub mod faults;
pub mod maintenance;
pub mod odd_events;
pub mod parking;
pub mod refusals;
pub mod renamed;
pub mod restored;
pub mod retention;
pub mod tail;
pub mod whose_queue;
