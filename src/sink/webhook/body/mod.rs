//! The body of a request, and its signature.

pub(crate) mod cloud_event; // the format CloudEvents 1.0.2
pub(crate) mod encoding; // the compression of the body
pub(crate) mod format; // bodies and their ids
pub(crate) mod keyring; // the signing secrets, read again when the file changes
pub(crate) mod messenger; // messages for people
pub(crate) mod signature; // Standard Webhooks 1.0
pub(crate) mod written; // the body in any format
