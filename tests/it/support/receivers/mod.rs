//! Receivers and proxies for one test.

pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod rogue;
pub(crate) mod tls_receiver;
