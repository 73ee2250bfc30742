//! The file sink: one appending write and one `fdatasync` for each batch, exactly once.

pub mod compression; // how compressed files are written and read
pub mod files; // the file and its rotated files, newest first
pub mod format; // the kinds of compression
pub mod housekeeping;
pub mod known; // lines that are in the file, but in no commit
pub mod mark; // a position that survives a rename
pub mod open_file; // a locked file, open for appending
pub mod path; // the real path and its owner
pub mod recovery; // repairs the end after a crash
pub mod rotation; // when, and the names
pub mod sink; // appends batches
#[cfg(test)]
mod tests; // deletes and compresses rotated files
