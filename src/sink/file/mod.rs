//! The file sink: one appending write and one `fdatasync` for each batch, exactly once.

pub(super) mod compression; // how compressed files are written and read
pub(super) mod files; // the file and its rotated files, newest first
pub(super) mod format; // the kinds of compression
pub(super) mod housekeeping;
pub(super) mod known; // lines that are in the file, but in no commit
pub(super) mod mark; // a position that survives a rename
pub(super) mod open_file; // a locked file, open for appending
pub(super) mod path; // the real path and its owner
pub(super) mod recovery; // repairs the end after a crash
pub(super) mod rotation; // when, and the names
pub(super) mod sink; // appends batches
#[cfg(test)]
mod tests; // deletes and compresses rotated files
