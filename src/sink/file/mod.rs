//! The file sink: one appending write and one `fdatasync` for each batch, exactly once.

pub mod compression;
pub mod files;
pub mod format;
pub mod housekeeping;
pub mod known;
pub mod mark;
pub mod open_file;
pub mod path;
pub mod recovery;
pub mod rotation;
pub mod sink;
#[cfg(test)]
mod tests;
