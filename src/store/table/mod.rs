//! The tables, one file each.

pub mod activity; // what a lane does
pub mod checkpoints; // the records of lanes
pub mod dead_letters;
pub mod journal;
pub mod key_value; // OAuth tokens and notes
pub mod pauses; // paused lanes
pub mod skips; // unreadable events that the operator gave up
pub mod sources; // their health and losses
