//! The tables of the configuration file, one file each: keys, bounds and defaults.

pub mod access; // the credential of a source
pub mod authorization; // `auth` of a sink
pub mod bot;
pub mod delivery; // with memory, journal, dead letters
pub mod headers;
pub mod http;
pub mod networks; // `private_networks`
pub mod outcomes; // statuses with another meaning
pub mod payload; // the body of a webhook and its signature
pub mod portals;
pub mod proxy;
pub mod retry;
pub mod signing; // the signing secrets
pub mod sink; // the keys of all sinks
pub mod source;
pub mod throughput; // order, concurrency, rate
pub mod tls;
pub mod webhook;
