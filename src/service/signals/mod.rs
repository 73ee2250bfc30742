//! Liveness, health, systemd, and the hourly line of the log.

pub mod health; // of the running daemon
pub mod notify; // systemd
pub mod roster; // the sources and sinks of the configuration
pub mod summary; // the hourly log line
pub mod vitals; // detects hanging loops
