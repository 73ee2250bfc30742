//! Secrets: tokens and URLs, given in place or in files, and never shown.

pub mod secret;
pub mod secret_file;
pub mod secret_line;
pub mod secret_text;
pub mod secret_url;
pub mod webhook_url;
