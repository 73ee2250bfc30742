//! What the charts of the page are made of: the delivered events of each sink, and how long they took.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many classes of latencies there are: the last one begins above a day.
const CLASSES: usize = 84;

/// Each class is wider than the one before by this factor. So a percentile is wrong by an eighth at most.
const FACTOR: f64 = 1.25;

/// The deliveries of one sink in this run.
#[derive(Debug)]
pub(crate) struct SinkTotals {
    pub delivered: AtomicU64,
    latencies: [AtomicU64; CLASSES],
}

/// The counters at one moment.
#[derive(Clone, Default, Debug)]
pub(crate) struct Counts {
    /// How many events all sources have read.
    pub received: u64,
    /// The deliveries by sink.
    pub sinks: BTreeMap<Arc<str>, SinkCounts>,
}

/// The deliveries of one sink until a moment, or between two moments.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct SinkCounts {
    pub delivered: u64,
    latencies: [u64; CLASSES],
}

impl Default for SinkTotals {
    fn default() -> Self {
        Self { delivered: AtomicU64::new(0), latencies: [const { AtomicU64::new(0) }; CLASSES] }
    }
}

impl Default for SinkCounts {
    fn default() -> Self {
        Self { delivered: 0, latencies: [0; CLASSES] }
    }
}

impl SinkTotals {
    /// Counts a delivery that took so long.
    pub(crate) fn observe(&self, latency_ms: u64) {
        self.latencies[class(latency_ms)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> SinkCounts {
        let mut latencies = [0; CLASSES];
        for (count, class) in latencies.iter_mut().zip(&self.latencies) {
            *count = class.load(Ordering::Relaxed);
        }
        SinkCounts { delivered: self.delivered.load(Ordering::Relaxed), latencies }
    }
}

impl SinkCounts {
    /// The increase since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut latencies = [0; CLASSES];
        for (index, count) in latencies.iter_mut().enumerate() {
            *count = self.latencies[index].saturating_sub(before.latencies[index]);
        }
        Self { delivered: self.delivered.saturating_sub(before.delivered), latencies }
    }

    /// The latency in seconds that this share of the deliveries did not exceed; `None` if there were none.
    #[expect(clippy::cast_precision_loss, reason = "it is shown with two digits")]
    pub(crate) fn quantile_s(&self, share: f64) -> Option<f64> {
        let total: u64 = self.latencies.iter().sum();
        let wanted = (total as f64 * share).max(1.0);
        let mut seen = 0.0;
        for (index, count) in self.latencies.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if seen + count >= wanted {
                let exponent = index as f64 - 1.0 + (wanted - seen) / count;
                return Some(FACTOR.powf(exponent) / 1000.0);
            }
            seen += count;
        }
        None
    }
}

/// The class of a latency: class 0 is up to a millisecond, class `n` up to `FACTOR` to the power of `n`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the logarithm of a positive number is small"
)]
fn class(latency_ms: u64) -> usize {
    let exponent = (latency_ms.max(1) as f64).log(FACTOR).ceil();
    (exponent as usize).min(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_near_those_of_all_latencies() {
        let totals = SinkTotals::default();
        for latency_ms in 1..=1000 {
            totals.observe(latency_ms);
        }
        let before = totals.read();
        for (share, exact) in [(0.5, 0.5), (0.99, 0.99), (0.01, 0.01)] {
            let told = before.quantile_s(share).unwrap();
            assert!((told / exact - 1.0).abs() < 0.125, "{share}: {told}");
        }
        for _ in 0..100 {
            totals.observe(60_000);
        }
        let told = totals.read().since(&before).quantile_s(0.5).unwrap();
        assert!((50.0..=70.0).contains(&told), "{told}");
        assert_eq!(before.since(&before).quantile_s(0.5), None);
    }

    #[test]
    fn every_latency_has_a_class() {
        assert_eq!((class(0), class(1), class(u64::MAX)), (0, 0, CLASSES - 1));
        assert!(class(86_400_000) < CLASSES - 1, "a day is not in the last class");
    }
}
