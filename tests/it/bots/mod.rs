//! Bots as sources, and the commands for bots, handlers and subscriptions.

pub mod bot_endings;
pub mod bot_refusals;
pub mod bot_sources;
pub mod command;
pub mod handlers;
pub mod subscription;
