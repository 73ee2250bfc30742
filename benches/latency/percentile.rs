//! Percentiles of latencies.

use std::time::Duration;

/// The latency that `percent` of `latencies` do not exceed (nearest rank), in milliseconds; NaN if there are none.
pub(crate) fn percentile_ms(latencies: &[Duration], percent: usize) -> f64 {
    let mut latencies = latencies.to_vec();
    latencies.sort();
    let rank = (latencies.len() * percent).div_ceil(100);
    latencies.get(rank.saturating_sub(1)).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
}
