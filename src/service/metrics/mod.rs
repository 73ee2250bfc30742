//! Counters, and `/metrics`.

pub mod exposition;
pub mod in_flight;
pub mod process;
pub mod registry;
pub mod scrape;
