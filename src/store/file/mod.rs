//! The state file as files: where it is, who may use it, its locks, its log and its copies.

pub mod backup;
pub mod durable_dir;
pub mod guard;
pub mod header;
pub mod identity;
pub mod links;
pub mod location;
pub mod lock;
pub mod open;
pub mod open_files;
pub mod owner;
pub mod space;
pub mod stall;
pub mod wal;
