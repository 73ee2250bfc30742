//! Delays between retries: exponential, with full jitter and limits. Pure except for random numbers.
//!
//! The only file that uses the `backoff` crate, and it uses only its delay policy.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// A delay whose step doubles from a minimum to a maximum.
#[derive(Debug)]
pub struct Backoff {
    policy: ExponentialBackoff,
    /// The delay is drawn between these fractions of the step.
    shares: [f64; 2],
    floor: Duration,
    max: Duration,
}

impl Backoff {
    /// Full jitter: a delay between zero and the step, so that clients that failed together do not retry together. The
    /// step grows from `min` to `max` (or stays `min` if that is greater).
    pub fn jittered(min: Duration, max: Duration) -> Self {
        // A delay near zero would hit a server that has just refused the request.
        Self { policy: policy(min, max), shares: [0.0, 1.0], floor: min / 10, max: max.max(min) }
    }

    /// The step itself, plus or minus a tenth. For slow probes, which must not retry early by chance.
    pub fn steady(min: Duration, max: Duration) -> Self {
        Self { policy: policy(min, max), shares: [0.9, 1.1], floor: min * 9 / 10, max: max.max(min) }
    }

    /// The next delay; each call doubles the step.
    pub fn next_delay(&mut self) -> Duration {
        let step = self.policy.next_backoff().unwrap_or(self.max);
        let [least, greatest] = self.shares;
        // Uses the thread's random numbers: the same seed gives the same delays.
        let drawn = step.mul_f64(least + (greatest - least) * fastrand::f64());
        drawn.clamp(self.floor, self.max)
    }

    /// Returns to the first step, after a success.
    pub fn reset(&mut self) {
        self.policy.reset();
    }
}

/// A delay in whole milliseconds, for a log line.
pub fn whole_millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

fn policy(min: Duration, max: Duration) -> ExponentialBackoff {
    ExponentialBackoff {
        current_interval: min,
        initial_interval: min,
        max_interval: max.max(min),
        multiplier: 2.0,
        randomization_factor: 0.0,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The greatest of many draws at each of the first steps.
    fn greatest_draws(min_ms: u64, max_ms: u64) -> Vec<u128> {
        let mut greatest = vec![0; 10];
        for _ in 0..2_000 {
            let mut backoff = Backoff::jittered(Duration::from_millis(min_ms), Duration::from_millis(max_ms));
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
        let mut backoff = Backoff::jittered(Duration::from_secs(1), Duration::from_secs(60));
        for _ in 0..2_000 {
            assert!(backoff.next_delay() >= Duration::from_millis(100));
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_secs(1));
    }

    #[test]
    fn a_steady_delay_stays_by_its_step() {
        let mut backoff = Backoff::steady(Duration::from_secs(60), Duration::from_secs(900));
        for step in [60.0, 120.0, 240.0, 480.0, 900.0, 900.0] {
            let delay = backoff.next_delay().as_secs_f64();
            assert!((step * 0.89..=step * 1.11).contains(&delay), "{delay} of {step}");
        }
    }

    #[test]
    fn nonsense_bounds_are_put_right() {
        let mut backoff = Backoff::jittered(Duration::from_secs(5), Duration::from_secs(1));
        for _ in 0..100 {
            assert!(backoff.next_delay() <= Duration::from_secs(5));
        }
    }
}
