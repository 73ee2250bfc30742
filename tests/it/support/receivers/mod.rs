//! Receivers and proxies for one test.

pub(crate) mod misbehaving_receiver;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod services; // Slack, Telegram and others
pub(crate) mod tls_receiver;
