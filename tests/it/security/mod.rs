//! Secrets and hostile input.

pub(crate) mod hostile_words;
pub(crate) mod planted_files;
pub(crate) mod secret_input;
pub(crate) mod secrets;
