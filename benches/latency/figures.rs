//! Rates.

use std::time::Duration;

/// The rate per hour of `count` events within `watched`.
#[expect(clippy::cast_precision_loss, reason = "counts of a few minutes are small")]
pub(crate) fn per_hour(count: u64, watched: Duration) -> f64 {
    count as f64 / watched.as_secs_f64() * 3600.0
}
