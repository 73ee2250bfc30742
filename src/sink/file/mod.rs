//! The file sink: one appending write and one `fdatasync` for each batch, exactly once.

pub(super) mod known; // lines that are in the file, but in no commit
pub(super) mod mark; // a position that survives a rename
pub(super) mod open_file; // a locked file, open for appending
pub(super) mod path; // the real path and its owner
pub(super) mod recovery; // repairs the end after a crash
pub(crate) mod rotated; // files that were put aside
pub(super) mod sink; // appends batches
#[cfg(test)]
mod tests;
