//! The tables of the configuration file, one file each: keys, bounds and defaults.

pub mod access;
pub mod authorization;
pub mod bot;
pub mod delivery;
pub mod headers;
pub mod http;
pub mod networks;
pub mod outcomes;
pub mod payload;
pub mod portals;
pub mod proxy;
pub mod retry;
pub mod signing;
pub mod sink;
pub mod source;
pub mod throughput;
pub mod tls;
pub mod webhook;
