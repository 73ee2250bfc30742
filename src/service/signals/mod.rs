//! Liveness, health, systemd, and the hourly line of the log.

pub mod active_config;
pub mod health;
pub mod liveness;
pub mod notify;
pub mod summary;
