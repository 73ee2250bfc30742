//! The REST methods, by topic.

pub mod account;
pub mod bot_fields;
pub mod bots;
pub mod handlers;
pub mod offline;
