//! The tables of sinks, and what only a webhook has.

pub(crate) mod authorization; // `auth` of a sink
pub(crate) mod filter; // which events it takes by their content
pub(crate) mod headers;
pub(crate) mod outcomes; // statuses with another meaning
pub(crate) mod payload; // the body of a webhook and its signature
pub(crate) mod retry;
pub(crate) mod sink; // the keys of all sinks
pub(crate) mod throughput; // order, concurrency, rate
pub(crate) mod webhook;
