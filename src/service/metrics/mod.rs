//! Counters, and `/metrics`.

pub mod exposition; // the text formats of Prometheus
pub mod in_flight;
pub mod process; // memory, descriptors, CPU
pub mod registry; // counters of the running relay
pub mod scrape; // values from the state file, read for each scrape // attempts in flight
