//! Receivers and proxies for one test.

pub mod proxy;
pub mod receiver;
pub mod rogue;
pub mod tls_receiver;
