//! Runs a task for each source: start, reload and end.

pub mod build; // a source and its lanes from their records
pub mod queue_identity; // is it still the queue on record?
pub mod reload; // SIGHUP
pub mod reload_plan; // which sources end and start
pub mod start; // finds the queue and its records
pub mod tasks; // a task for each source
