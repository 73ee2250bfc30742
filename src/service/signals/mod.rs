//! Liveness, health, systemd, and the hourly line of the log.

pub mod active_config; // the sources and sinks of the configuration
pub mod health; // of the running daemon
pub mod liveness;
pub mod notify; // systemd
pub mod summary; // the hourly log line // detects hanging loops
