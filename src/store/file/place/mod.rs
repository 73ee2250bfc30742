//! Where the state file is, and whose it is.

mod borrowed; // the rights of another user
pub(crate) mod durable_dir; // folder names that survive a power cut
pub(crate) mod identity; // of a file, whatever its name
pub(crate) mod location; // one file with one name
pub(crate) mod owner; // root works with the owner's rights
