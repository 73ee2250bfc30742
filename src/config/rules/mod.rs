//! Rules between keys, and what changes between two configurations.

pub(super) mod crosscheck; // names exist, files are not shared
pub(super) mod diff; // the keys in which two configurations differ
pub(super) mod event_types; // of each kind of queue
pub(super) mod logins; // shared OAuth logins
pub(super) mod queues; // no two readers of one queue
