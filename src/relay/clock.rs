//! The portal's clock, estimated between its answers. Events carry the portal's dates, so only this clock measures
//! their age.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::wall_clock;

/// How far the portal's clock and this machine's may differ: receivers refuse signatures that are older, or that far in
/// the future.
pub const SKEW_MAX: Duration = Duration::from_secs(300);

/// The last time that the portal reported, carried on by our monotonic clock. Until the portal has reported a time in
/// this run, it is estimated from this machine's clock, which may have been set meanwhile.
#[derive(Clone, Default)]
pub(super) struct PortalClock(Arc<Mutex<Known>>);

/// The basis of the estimate.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The portal's time in Unix milliseconds, and the instant at which it was valid.
    time: Option<(i64, Instant)>,
    /// The portal has reported its time in this run.
    is_told: bool,
    /// The portal has answered in this run, with or without a time.
    is_heard: bool,
}

impl PortalClock {
    /// Creates a clock that was ahead of this machine's by `skew_ms` in an earlier run, if that is known.
    pub(super) fn with_skew(skew_ms: Option<i64>) -> Self {
        let clock = Self::default();
        let presumed = |skew_ms| (wall_clock::now_ms().saturating_add(skew_ms), Instant::now());
        clock.lock().time = skew_ms.map(presumed);
        clock
    }

    /// Notes that the answer that just came reported the time `portal_ms`.
    pub(super) fn note(&self, portal_ms: i64) {
        *self.lock() = Known { time: Some((portal_ms, Instant::now())), is_told: true, is_heard: true };
    }

    /// Notes that the answer that just came reported no time.
    pub(super) fn hear(&self) {
        self.lock().is_heard = true;
    }

    /// Whether the portal has reported its time in this run.
    pub(super) fn is_told(&self) -> bool {
        self.lock().is_told
    }

    /// Whether the portal has answered in this run. If it has not reported its time by then, it never does.
    pub(super) fn is_heard(&self) -> bool {
        self.lock().is_heard
    }

    /// Whether the portal's time is known, at least from an earlier run.
    pub(super) fn is_known(&self) -> bool {
        self.lock().time.is_some()
    }

    /// The current time at the portal, in Unix milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        self.at(Instant::now())
    }

    /// The current time by the portal's clock or by this machine's, whichever is earlier, in Unix milliseconds.
    pub(super) fn earliest_ms(&self) -> i64 {
        self.now_ms().min(wall_clock::now_ms())
    }

    /// The time at the portal at `instant`, past or future, in Unix milliseconds.
    pub(super) fn at(&self, instant: Instant) -> i64 {
        let known = self.lock().time;
        let (told_ms, told_at) = known.unwrap_or_else(|| (wall_clock::now_ms(), Instant::now()));
        let since = instant.saturating_duration_since(told_at).as_millis();
        let before = told_at.saturating_duration_since(instant).as_millis();
        let whole = |millis| i64::try_from(millis).unwrap_or(i64::MAX);
        told_ms.saturating_add(whole(since)).saturating_sub(whole(before))
    }

    /// By how many milliseconds the portal's clock is ahead of this machine's.
    pub(super) fn skew_ms(&self) -> i64 {
        self.now_ms().saturating_sub(wall_clock::now_ms())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
