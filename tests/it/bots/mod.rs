//! Bots as sources, and the commands for bots, handlers and subscriptions.

pub(crate) mod bot_endings;
pub(crate) mod bot_refusals;
pub(crate) mod bot_sources;
pub(crate) mod command;
pub(crate) mod handlers;
pub(crate) mod subscription;
