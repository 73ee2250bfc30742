//! The portal's state: accounts, applications, bots, handlers, tokens, the clock and the counters.

pub mod apps;
pub mod bots;
pub mod clock;
pub mod config;
pub mod counters;
pub mod event_names;
pub mod handlers;
pub mod offline;
pub mod portal;
pub mod rng;
pub mod switches;
pub mod tokens;
