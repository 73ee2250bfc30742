//! The event queues: rows, ids, how events are added and read, and how old ones are deleted.

pub mod append;
pub mod buffer;
pub mod ids;
pub mod lateness;
pub mod owner;
pub mod read;
pub mod retention;
pub mod row;
pub mod seed;
pub mod selection;
