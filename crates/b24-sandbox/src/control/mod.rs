//! The control API under `/sandbox/`, for tests and developers.

pub mod api;
pub mod apps;
pub mod bots;
pub mod handlers;
pub mod queues;
pub mod relocation;
pub mod reply;
