//! Runs a task for each source: start, reload and end.

pub(super) mod build; // a source and its lanes from their records
pub(super) mod queue_identity; // is it still the queue on record?
pub(super) mod reload; // SIGHUP
pub(super) mod reload_plan; // which sources end and start
pub(super) mod start; // finds the queue and its records
pub(super) mod tasks; // a task for each source
