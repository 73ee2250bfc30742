//! Percentiles and rates.

use std::time::Duration;

/// The latency that `percent` of `latencies` do not exceed (nearest rank), in milliseconds; NaN of none.
pub fn percentile_ms(latencies: &[Duration], percent: usize) -> f64 {
    let mut latencies = latencies.to_vec();
    latencies.sort();
    let rank = (latencies.len() * percent).div_ceil(100);
    latencies.get(rank.saturating_sub(1)).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
}

/// `count` within `watched`, as of an hour.
#[expect(clippy::cast_precision_loss, reason = "counts of a few minutes are small")]
pub fn per_hour(count: u64, watched: Duration) -> f64 {
    count as f64 / watched.as_secs_f64() * 3600.0
}
