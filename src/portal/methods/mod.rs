//! The REST methods, by topic.

pub mod account;
pub mod bots;
pub mod handlers;
pub mod queue;
