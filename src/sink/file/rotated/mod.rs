//! Files that were put aside: their names, compression and removal.

pub(crate) mod compression; // how compressed files are written and read
pub(crate) mod files; // the file and its rotated files, newest first
pub(crate) mod format; // the kinds of compression
pub(crate) mod housekeeping; // deletes and compresses rotated files
pub(crate) mod rotation; // when, and the names
