//! The tables of the configuration file, one file each: keys, bounds and defaults.

pub(crate) mod connection; // TLS and proxy
pub(super) mod delivery; // with memory, journal, dead letters
pub(super) mod http;
pub(super) mod networks; // `private_networks`
pub(crate) mod sinks; // and what only a webhook has
pub(crate) mod sources; // and their portals
