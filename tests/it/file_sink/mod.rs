//! The file sink and standard output.

pub(crate) mod file;
pub(crate) mod full_disk;
pub(crate) mod rotation;
pub(crate) mod shared_folder;
pub(crate) mod stdio;
