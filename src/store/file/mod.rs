//! The state file as files: where it is, who may use it, its locks, its log and its copies.

pub(super) mod backup;
pub(super) mod guard; // the second lock, on the file itself
pub(super) mod header; // the first bytes, before SQLite opens the file
pub(super) mod lock; // one daemon for each state file
pub(super) mod open; // a new file is complete before it gets its name
pub(super) mod open_files; // the files that this process has open
pub(crate) mod place; // where it is, and whose
pub(super) mod space; // deleted content leaves the disk
pub(super) mod stall; // the notice that the file cannot be written
pub(super) mod wal; // is the log whole?
