//! Rules between keys, and what changes between two configurations.

pub mod crosscheck;
pub mod diff;
pub mod event_types;
pub mod logins;
pub mod queues;
