//! Secrets: tokens and URLs, given in place or in files, and never shown.

pub mod secret; // `KEY` or `KEY_file`
pub mod secret_file; // finds the file
pub mod secret_line; // takes one from a line as people write it
