//! The tables of sources and of their portals.

pub(crate) mod access; // the credential of a source
pub(crate) mod bot;
pub(crate) mod portals;
pub(crate) mod source;
