//! Counters, and `/metrics`.

pub mod exposition;
pub mod figures;
pub mod process;
pub mod scrape;
pub mod under_way;
