//! Rules between keys.

pub(super) mod crosscheck; // names exist, files are not shared
pub(super) mod event_types; // of each kind of queue
pub(super) mod logins; // shared OAuth logins
pub(super) mod queues; // no two readers of one queue
