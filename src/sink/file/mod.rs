//! The file sink: one appending write and one `fdatasync` for each batch, exactly once.

pub mod compression;
pub mod files;
pub mod format;
pub mod known;
pub mod mark;
pub mod open_file;
pub mod place;
pub mod rotation;
pub mod sink;
pub mod tail;
#[cfg(test)]
mod tests;
pub mod tidying;
