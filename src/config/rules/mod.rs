//! Rules between keys, and what changes between two configurations.

pub mod crosscheck; // names exist, files are not shared
pub mod diff; // the keys in which two configurations differ
pub mod event_types; // of each kind of queue
pub mod logins; // shared OAuth logins
pub mod queues; // no two readers of one queue
