//! The tables, one file each.

pub(super) mod activity; // what a lane does
pub(super) mod checkpoints; // the records of lanes
pub(super) mod dead_letters;
pub(super) mod journal;
pub(super) mod key_value; // OAuth tokens and notes
pub(super) mod pauses; // paused lanes
pub(super) mod skips; // unreadable events that the operator gave up
pub(super) mod sources; // their health and losses
