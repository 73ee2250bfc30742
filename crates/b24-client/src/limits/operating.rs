//! The operating time that each method has used, as reported by the portal in `time` (PORTAL.md 7).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The portal's default; the cloud allows slightly more.
const LIMIT_S: f64 = 420.0;

/// Above this share of the limit, a method is strained.
const STRAINED: f64 = 0.8;

/// The last value for each method, for calls with one credential.
#[derive(Default)]
pub(crate) struct Operating(Mutex<HashMap<&'static str, Reading>>);

#[derive(Clone, Copy)]
struct Reading {
    used_s: f64,
    reset_at: Instant,
}

impl Operating {
    /// Records that `method` has used `used_s` seconds, the oldest of which expire after `reset_in`.
    pub(crate) fn note(&self, method: &'static str, used_s: f64, reset_in: Duration) {
        if let Some(reset_at) = Instant::now().checked_add(reset_in) {
            self.readings().insert(method, Reading { used_s, reset_at });
        }
    }

    /// The time until the oldest bucket of `method` expires, if our own calls have used up the limit. If
    /// other clients have used it up, the time is unknown.
    pub(crate) fn reset_in(&self, method: &str) -> Option<Duration> {
        let reading = self.readings().get(method).copied().filter(Reading::is_strained)?;
        Some(reading.reset_at.saturating_duration_since(Instant::now()))
    }

    /// True if `method` is close to its limit.
    pub(crate) fn is_strained(&self, method: &str) -> bool {
        self.readings().get(method).is_some_and(Reading::is_strained)
    }

    fn readings(&self) -> MutexGuard<'_, HashMap<&'static str, Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn is_strained(&self) -> bool {
        self.used_s > LIMIT_S * STRAINED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_strained_above_four_fifths_of_the_limit_and_alone() {
        let operating = Operating::default();
        operating.note("a", 336.5, Duration::from_secs(100));
        operating.note("b", 335.0, Duration::from_secs(100));
        assert_eq!(["a", "b", "c"].map(|method| operating.is_strained(method)), [true, false, false]);
        assert!(operating.reset_in("a").is_some_and(|left| left > Duration::from_secs(90)));
        assert_eq!(["b", "c"].map(|method| operating.reset_in(method)), [None, None], "others used it up");
        operating.note("a", 3.0, Duration::ZERO);
        assert!(!operating.is_strained("a"));
    }
}
