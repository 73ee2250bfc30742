//! Runs a task for each source: start, reload and end.

pub mod build;
pub mod queue_identity;
pub mod reload;
pub mod reload_plan;
pub mod start;
pub mod tasks;
