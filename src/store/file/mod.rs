//! The state file as files: where it is, who may use it, its locks, its log and its copies.

pub mod backup;
pub mod durable_dir; // folder names that survive a power cut
pub mod guard; // the second lock, on the file itself
pub mod header; // the first bytes, before SQLite opens the file
pub mod identity; // of a file, whatever its name
pub mod links; // symbolic links on the way
pub mod location; // one file with one name
pub mod lock; // one daemon for each state file
pub mod open; // a new file is complete before it gets its name
pub mod open_files; // the files that this process has open
pub mod owner; // root works with the owner's rights
pub mod space; // deleted content leaves the disk
pub mod stall; // the notice that the file cannot be written
pub mod wal; // is the log whole?
