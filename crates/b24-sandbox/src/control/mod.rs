//! `/sandbox/...`: the control API for tests and people.

pub mod api;
pub mod apps;
pub mod bots;
pub mod handlers;
pub mod queues;
pub mod relocation;
pub mod reply;
