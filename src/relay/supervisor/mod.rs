//! Who is at work: a task for each source, started, reloaded and ended.

pub mod build;
pub mod queue_identity;
pub mod reload;
pub mod reload_plan;
pub mod start;
pub mod tasks;
