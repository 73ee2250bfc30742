//! The REST methods, by topic.

pub mod account; // the credential's owner and permissions
pub mod bots;
pub mod handlers; // of the old push API
pub mod queue; // subscribe, peek, poll, unsubscribe
