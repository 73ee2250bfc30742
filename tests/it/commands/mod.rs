//! The commands and the configuration.

pub mod configuration;
pub mod consent;
pub mod exit_codes;
pub mod health;
pub mod offsets;
pub mod parity;
pub mod preflight;
pub mod replays;
pub mod tap;
pub mod watching;
