//! The REST methods, by topic.

pub mod account; // the user and the scopes
pub mod bot_fields; // checks of `fields`
pub mod bots;
pub mod handlers; // `event.*`
pub mod offline; // `event.offline.*`
