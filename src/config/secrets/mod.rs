//! Secrets: tokens and URLs, given in place or in files, and never shown.

pub(super) mod secret; // `KEY` or `KEY_file`
pub(super) mod secret_file; // finds the file
pub(super) mod secret_line; // takes one from a line as people write it
