//! Secrets: tokens and URLs that are never shown.

pub mod secret_text; // tokens and the like
pub mod secret_url;
pub mod webhook_url; // of a portal: address and credential
