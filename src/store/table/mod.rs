//! The tables, one file each.

pub mod checkpoints;
pub mod dead_letters;
pub mod journal;
pub mod key_value;
pub mod pauses;
pub mod skips;
pub mod sources;
