//! The tables of the configuration file, one file each: keys, bounds and defaults.

pub(super) mod access; // the credential of a source
pub(super) mod authorization; // `auth` of a sink
pub(super) mod bot;
pub(super) mod delivery; // with memory, journal, dead letters
pub(super) mod headers;
pub(super) mod http;
pub(super) mod networks; // `private_networks`
pub(super) mod outcomes; // statuses with another meaning
pub(super) mod payload; // the body of a webhook and its signature
pub(super) mod portals;
pub(super) mod proxy;
pub(super) mod retry;
pub(super) mod signing; // the signing secrets
pub(super) mod sink; // the keys of all sinks
pub(super) mod source;
pub(super) mod throughput; // order, concurrency, rate
pub(super) mod tls;
pub(super) mod webhook;
