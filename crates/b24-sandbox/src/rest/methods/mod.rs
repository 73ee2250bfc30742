//! The REST methods, by topic.

pub(crate) mod account; // the user and the scopes
pub(crate) mod bot_fields; // checks of `fields`
pub(crate) mod bots;
pub(crate) mod handlers; // `event.*`
pub(crate) mod offline; // `event.offline.*`
