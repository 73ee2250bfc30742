//! The portal's clock between its answers: events carry its dates, so their age is told by it alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::wall_clock;

/// The last time that the portal told, carried on by our monotonic clock; before the portal has told any in this run,
/// what this machine's own clock makes of it, which may have been set meanwhile.
#[derive(Clone, Default)]
pub struct PortalClock(Arc<Mutex<Known>>);

/// What is known of it.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The time there at an instant.
    time: Option<(i64, Instant)>,
    /// The portal has told it in this run.
    is_told: bool,
    /// The portal has answered in this run, with or without a time.
    is_heard: bool,
}

impl PortalClock {
    /// One that was ahead of this machine's by `skew_ms` in an earlier run, if it is known.
    pub fn with_skew(skew_ms: Option<i64>) -> Self {
        let clock = Self::default();
        let presumed = |skew_ms| (wall_clock::now_ms().saturating_add(skew_ms), Instant::now());
        clock.lock().time = skew_ms.map(presumed);
        clock
    }

    /// The portal's answer that just came was given at `portal_ms`.
    pub fn note(&self, portal_ms: i64) {
        *self.lock() = Known { time: Some((portal_ms, Instant::now())), is_told: true, is_heard: true };
    }

    /// The portal's answer that just came did not tell the time.
    pub fn hear(&self) {
        self.lock().is_heard = true;
    }

    /// Whether the portal has told the time in this run.
    pub fn is_told(&self) -> bool {
        self.lock().is_told
    }

    /// Whether the portal has answered in this run: if it has not told the time by then, it tells none.
    pub fn is_heard(&self) -> bool {
        self.lock().is_heard
    }

    /// Whether its time is known from an earlier run at least.
    pub fn is_known(&self) -> bool {
        self.lock().time.is_some()
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
        let known = self.lock().time;
        let (told_ms, told_at) = known.unwrap_or_else(|| (wall_clock::now_ms(), Instant::now()));
        let since = instant.saturating_duration_since(told_at).as_millis();
        let before = told_at.saturating_duration_since(instant).as_millis();
        let whole = |millis| i64::try_from(millis).unwrap_or(i64::MAX);
        told_ms.saturating_add(whole(since)).saturating_sub(whole(before))
    }

    /// By how much it is ahead of this machine's, in milliseconds.
    pub fn skew_ms(&self) -> i64 {
        self.now_ms().saturating_sub(wall_clock::now_ms())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
