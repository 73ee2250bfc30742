//! Delays between tries: exponential, with full jitter, clamped. Pure but for the dice.
//!
//! The only file that knows the `backoff` crate, and it takes nothing but that crate's delay policy.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// A growing delay: somewhere between zero and a step that doubles from a least to a greatest one.
#[derive(Debug)]
pub struct Backoff {
    policy: ExponentialBackoff,
    floor: Duration,
    max: Duration,
}

impl Backoff {
    /// Steps from `min`, doubling up to `max` (`min` itself when that is greater).
    pub fn new(min: Duration, max: Duration) -> Self {
        let max = max.max(min);
        // The policy draws from `interval` ± 100 %: half of the step as its interval makes that
        // zero to one step.
        let policy = ExponentialBackoff {
            current_interval: min / 2,
            initial_interval: min / 2,
            max_interval: max / 2,
            multiplier: 2.0,
            randomization_factor: 1.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        // A draw near zero would hammer whoever just refused us.
        Self { policy, floor: min / 10, max }
    }

    /// The next delay; each call doubles the step.
    pub fn next_delay(&mut self) -> Duration {
        let drawn = self.policy.next_backoff().unwrap_or(self.max);
        drawn.clamp(self.floor, self.max)
    }

    /// Back to the first step, after a success.
    pub fn reset(&mut self) {
        self.policy.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The greatest of many draws at each of the first steps.
    fn greatest_draws(min_ms: u64, max_ms: u64) -> Vec<u128> {
        let mut greatest = vec![0; 10];
        for _ in 0..2_000 {
            let mut backoff = Backoff::new(Duration::from_millis(min_ms), Duration::from_millis(max_ms));
            for slot in &mut greatest {
                *slot = (*slot).max(backoff.next_delay().as_millis());
            }
        }
        greatest
    }

    #[test]
    fn the_step_doubles_up_to_the_greatest() {
        let draws = greatest_draws(1_000, 60_000);
        for (draw, step) in draws.iter().zip([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
            assert!(*draw <= step && *draw > step * 9 / 10, "{draw} of {step}");
        }
    }

    #[test]
    fn no_delay_is_zero_and_reset_starts_over() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for _ in 0..2_000 {
            assert!(backoff.next_delay() >= Duration::from_millis(100));
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_secs(1));
    }

    #[test]
    fn nonsense_bounds_are_put_right() {
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(1));
        for _ in 0..100 {
            assert!(backoff.next_delay() <= Duration::from_secs(5));
        }
    }
}
