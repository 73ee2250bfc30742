//! Counters, and `/metrics`.

pub mod exposition; // the text formats of Prometheus
pub mod figures; // counters of the running relay
pub mod process; // memory, descriptors, CPU
pub mod scrape; // values from the state file, read for each scrape
pub mod under_way; // attempts in flight
