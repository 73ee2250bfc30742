//! Counters, and `/metrics`.

pub(super) mod exposition; // the text formats of Prometheus
pub(super) mod in_flight; // attempts in flight
pub(super) mod process; // memory, descriptors, CPU
pub(super) mod registry; // counters of the running relay
pub(super) mod scrape; // values from the state file, read for each scrape
pub(super) mod sink_totals; // deliveries and latencies, for the charts
