//! Liveness, health, systemd, and the hourly line of the log.

pub(super) mod active_config; // the sources and sinks of the configuration
pub(super) mod health; // of the running daemon
pub(super) mod liveness; // detects hanging loops
pub(super) mod notify; // systemd
pub(super) mod summary; // the hourly log line
