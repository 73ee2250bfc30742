//! The file sink and standard output.

pub mod file;
pub mod full_disk;
pub mod rotation;
pub mod shared_folder;
pub mod stdio;
