//! Secrets and hostile input.

pub mod hostile_words;
pub mod planted;
pub mod secret_input;
pub mod secrets;
