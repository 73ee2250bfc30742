//! The commands and the configuration.

pub(crate) mod configuration;
pub(crate) mod consent;
pub(crate) mod exit_codes;
pub(crate) mod health;
pub(crate) mod offsets;
pub(crate) mod parity;
pub(crate) mod preflight;
pub(crate) mod replays;
pub(crate) mod tap;
pub(crate) mod watching;
