//! Secrets and hostile input.

pub(crate) mod hostile_words;
pub(crate) mod planted;
pub(crate) mod secret_input;
pub(crate) mod secrets;
