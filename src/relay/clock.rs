//! The portal's clock between its answers: events carry its dates, so their age is told by it alone.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::wall_clock;

/// The last time that the portal told, carried on by our monotonic clock; this machine's own clock
/// before the portal has told any.
#[derive(Clone, Default)]
pub struct PortalClock(Arc<Mutex<Option<(i64, Instant)>>>);

impl PortalClock {
    /// One that was ahead of this machine's by `skew_ms` in an earlier run, if it is known.
    pub fn with_skew(skew_ms: Option<i64>) -> Self {
        let clock = Self::default();
        if let Some(skew_ms) = skew_ms {
            clock.note(wall_clock::now_ms().saturating_add(skew_ms));
        }
        clock
    }

    /// The portal's answer that just came was given at `portal_ms`.
    pub fn note(&self, portal_ms: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((portal_ms, Instant::now()));
    }

    /// Whether the portal has told the time.
    pub fn is_told(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The present there, in Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.at(Instant::now())
    }

    /// The present by the portal's clock or by this machine's, whichever is earlier, in Unix milliseconds.
    pub fn earliest_ms(&self) -> i64 {
        self.now_ms().min(wall_clock::now_ms())
    }

    /// What `instant` was or will be there, in Unix milliseconds.
    pub fn at(&self, instant: Instant) -> i64 {
        let told = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (told_ms, told_at) = told.unwrap_or_else(|| (wall_clock::now_ms(), Instant::now()));
        let since = instant.saturating_duration_since(told_at).as_millis();
        let before = told_at.saturating_duration_since(instant).as_millis();
        let whole = |millis| i64::try_from(millis).unwrap_or(i64::MAX);
        told_ms.saturating_add(whole(since)).saturating_sub(whole(before))
    }

    /// By how much it is ahead of this machine's, in milliseconds.
    pub fn skew_ms(&self) -> i64 {
        self.now_ms().saturating_sub(wall_clock::now_ms())
    }
}
