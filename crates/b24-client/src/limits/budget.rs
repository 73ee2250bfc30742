//! The rate limit for one portal: a leaky bucket like the portal's own, but smaller (PORTAL.md 7).
//!
//! Guarantees G6: in a steady state, the portal never refuses our calls because of their rate. Sources take
//! turns, so none can starve another. Polls are spread evenly; other calls may be made in a burst.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::settings::RateConfig;

/// The shares that we use. The rest, a tenth of the rate and a fifth of the burst, is for other applications
/// behind the same address.
const RATE_SHARE: f64 = 0.9;
const BURST_SHARE: f64 = 0.8;

/// A refusal multiplies the rate by the first factor. Several refusals reduce it to no less than the second.
const SHRINK: f64 = 0.7;
const SHARE_MIN: f64 = 0.1;

/// Refusals within this time count as one, because their calls were in flight together.
const SHRINK_INTERVAL: Duration = Duration::from_secs(1);

/// The share of the rate that is restored in each minute without a refusal.
const RECOVERY_PER_MIN: f64 = 0.1;

/// The purpose of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// One of many polls: spread evenly.
    Poll,
    /// A less frequent call: made at once while the burst allows it.
    Other,
}

/// The queue of all calls to one portal from this process.
pub(crate) struct Budget {
    /// Held by the next caller. Tokio's mutex is fair: it passes the lock on in the order of requests.
    turn: tokio::sync::Mutex<()>,
    meter: Option<Mutex<Meter>>,
    /// The number of turns taken.
    turns: AtomicU64,
}

impl Budget {
    /// A budget for a portal with the limit `rate`; without a limit, no call waits.
    pub(crate) fn new(rate: Option<RateConfig>) -> Self {
        let meter = rate.map(|rate| Mutex::new(Meter::new(rate, Instant::now())));
        Self { turn: tokio::sync::Mutex::new(()), meter, turns: AtomicU64::new(0) }
    }

    /// Waits for a turn and takes it. Safe to cancel while it waits.
    pub(crate) async fn admit(&self, purpose: Purpose) {
        let Some(meter) = &self.meter else { return };
        let _turn = self.turn.lock().await;
        loop {
            let wait = lock(meter).take(purpose, Instant::now());
            match wait {
                Ok(()) => break,
                Err(wait) => sleep(wait).await,
            }
        }
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of turns that all callers have taken so far.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Slows down, because the portal has refused a call for its rate.
    pub(crate) fn refused(&self) {
        if let Some(meter) = &self.meter {
            lock(meter).refused(Instant::now());
        }
    }

    /// The share of our rate that the calls of the last minute used; `None` if there is no limit.
    pub(crate) fn used(&self) -> Option<f64> {
        self.meter.as_ref().map(|meter| lock(meter).used(Instant::now()))
    }

    /// The shortest time between two polls, across all sources; `None` if there is no limit.
    pub(crate) fn poll_interval(&self) -> Option<Duration> {
        self.meter.as_ref().map(|meter| Duration::from_secs_f64(lock(meter).rate().recip()))
    }
}

fn lock(meter: &Mutex<Meter>) -> MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The arithmetic of the bucket, without a clock.
struct Meter {
    size: RateConfig,
    /// The share of the rate that refusals have left, up to 1.
    share: f64,
    level: f64,
    /// The calls of the last minute: each weighs less the older it is.
    recent: f64,
    seen_at: Instant,
    poll_at: Instant,
    refused_at: Option<Instant>,
}

impl Meter {
    fn new(size: RateConfig, now: Instant) -> Self {
        Self { size, share: 1.0, level: 0.0, recent: 0.0, seen_at: now, poll_at: now, refused_at: None }
    }

    /// The current rate in requests per second.
    fn rate(&self) -> f64 {
        self.size.per_second * RATE_SHARE * self.share
    }

    fn capacity(&self) -> f64 {
        (self.size.burst * BURST_SHARE).max(1.0)
    }

    /// Counts one call, or returns how long to wait before the next try.
    fn take(&mut self, purpose: Purpose, now: Instant) -> Result<(), Duration> {
        self.pass_to(now);
        let excess = self.level + 1.0 - self.capacity();
        let drained = Duration::from_secs_f64((excess / self.rate()).max(0.0));
        let spread = match purpose {
            Purpose::Poll => self.poll_at.saturating_duration_since(now),
            Purpose::Other => Duration::ZERO,
        };
        let wait = drained.max(spread);
        // Timers have a resolution of a millisecond; a shorter wait would only spin.
        if wait > Duration::from_millis(1) {
            return Err(wait);
        }
        self.level += 1.0;
        self.recent += 1.0;
        if purpose == Purpose::Poll {
            self.poll_at = now + Duration::from_secs_f64(self.rate().recip());
        }
        Ok(())
    }

    /// In a steady state this is the rate of calls divided by the rate that we may use.
    fn used(&mut self, now: Instant) -> f64 {
        self.pass_to(now);
        self.recent / 60.0 / self.rate()
    }

    fn refused(&mut self, now: Instant) {
        self.pass_to(now);
        if self.refused_at.is_none_or(|at| now.duration_since(at) >= SHRINK_INTERVAL) {
            self.share = (self.share * SHRINK).max(SHARE_MIN);
            self.refused_at = Some(now);
        }
        // The portal's bucket is full, perhaps because of other applications.
        self.level = self.capacity();
        self.poll_at = now + Duration::from_secs_f64(self.rate().recip());
    }

    fn pass_to(&mut self, now: Instant) {
        let passed_s = now.saturating_duration_since(self.seen_at).as_secs_f64();
        self.level = (self.level - passed_s * self.rate()).max(0.0);
        self.recent *= (-passed_s / 60.0).exp();
        self.share = (self.share + passed_s / 60.0 * RECOVERY_PER_MIN).min(1.0);
        self.seen_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Takes turns from `start` on for `length`, and returns the time of each.
    fn turns(meter: &mut Meter, purpose: Purpose, start: Instant, length: Duration) -> Vec<Duration> {
        let (mut now, mut taken) = (start, Vec::new());
        while now < start + length {
            match meter.take(purpose, now) {
                Ok(()) => taken.push(now - start),
                Err(wait) => now += wait,
            }
        }
        taken
    }

    #[test]
    fn polls_are_spread_at_nine_tenths_of_the_rate() {
        let start = Instant::now();
        let taken = turns(&mut Meter::new(RateConfig::STANDARD, start), Purpose::Poll, start, 100 * SECOND);
        assert!((178..=182).contains(&taken.len()), "{}", taken.len());
        for pair in taken.windows(2) {
            assert!(pair[1] >= pair[0] + Duration::from_millis(550), "{pair:?}");
        }
    }

    #[test]
    fn the_share_in_use_follows_the_calls() {
        let start = Instant::now();
        let mut meter = Meter::new(RateConfig::STANDARD, start);
        assert!(meter.used(start).abs() < 1e-9);
        turns(&mut meter, Purpose::Poll, start, 600 * SECOND);
        let used = meter.used(start + 600 * SECOND);
        assert!((0.95..=1.05).contains(&used), "all of it: {used}");
        let used = meter.used(start + 900 * SECOND);
        assert!(used < 0.02, "after five minutes without calls: {used}");
    }

    #[test]
    fn other_calls_may_burst_up_to_four_fifths() {
        let start = Instant::now();
        let taken = turns(&mut Meter::new(RateConfig::STANDARD, start), Purpose::Other, start, 10 * SECOND);
        let at_once = taken.iter().filter(|at| at.is_zero()).count();
        assert_eq!(at_once, 40);
        assert!((57..=59).contains(&taken.len()), "{}", taken.len());
    }

    #[test]
    fn a_portal_of_the_documented_size_never_refuses_an_hour_of_both() {
        let start = Instant::now();
        let mut meter = Meter::new(RateConfig::STANDARD, start);
        let (mut level, mut drained_at, mut now, mut count) = (0.0_f64, start, start, 0_u32);
        while now < start + 3600 * SECOND {
            let purpose = if count % 7 == 0 { Purpose::Other } else { Purpose::Poll };
            if let Err(wait) = meter.take(purpose, now) {
                now += wait;
                continue;
            }
            level = (level - (now - drained_at).as_secs_f64() * 2.0).max(0.0);
            drained_at = now;
            assert!(level < 50.0, "refused after {:?}", now - start);
            level += 1.0;
            count += 1;
        }
        assert!(count > 6000, "{count}");
    }

    #[test]
    fn a_refusal_slows_down_and_recovers_within_minutes() {
        let start = Instant::now();
        let mut meter = Meter::new(RateConfig::STANDARD, start);
        meter.refused(start);
        meter.refused(start);
        assert!((meter.rate() - 1.8 * 0.7).abs() < 1e-9, "two at once are one: {}", meter.rate());
        assert!(meter.take(Purpose::Other, start).is_err(), "the bucket is taken for full");
        for second in 1..100 {
            meter.refused(start + second * SECOND);
        }
        assert!((0.17..0.20).contains(&meter.rate()), "never to a standstill: {}", meter.rate());
        meter.pass_to(start + 20 * 60 * SECOND);
        assert!((meter.rate() - 1.8).abs() < 1e-9, "{}", meter.rate());
    }
}
