//! Liveness, health, systemd, and the hourly line of the log.

pub mod health;
pub mod notify;
pub mod roster;
pub mod summary;
pub mod vitals;
