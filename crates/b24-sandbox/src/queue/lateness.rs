//! Rows that become visible later than rows with higher ids (PORTAL.md 2.9, hazard 2).

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::state::rng::Rng;

/// The maximum delay of a row: an hour.
const LATE_MAX_MS: u64 = 3_600_000;

/// Rows that are committed some time after they get an id, so that higher ids can become visible before them
/// (PORTAL.md 2.9, hazard 2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lateness {
    /// The fraction of rows that are late, 0 to 1.
    #[serde(deserialize_with = "share")]
    pub share: f64,
    /// The maximum delay; the delay of each row is random.
    #[serde(deserialize_with = "up_to_ms")]
    pub up_to_ms: u64,
}

impl Lateness {
    /// The delay of the next row; `None` if it is visible at once.
    pub(crate) fn draw(self, rng: &mut Rng) -> Option<Duration> {
        let share = f64::from(u32::try_from(rng.roll() >> 32).unwrap_or(u32::MAX)) / 2_f64.powi(32);
        let delay_ms = rng.roll() % (self.up_to_ms + 1);
        (share < self.share).then(|| Duration::from_millis(delay_ms))
    }
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    let fits = (0.0..=1.0).contains(&share);
    fits.then_some(share).ok_or_else(|| de::Error::custom(format!("`share` must be 0 to 1, not {share}")))
}

fn up_to_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let delay_ms = u64::deserialize(deserializer)?;
    let error = || de::Error::custom(format!("`up_to_ms` must not exceed {LATE_MAX_MS}, not {delay_ms}"));
    (delay_ms <= LATE_MAX_MS).then_some(delay_ms).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept_and_no_delay_is_too_long() {
        let mut rng = Rng::new(24, 7);
        for (share, expected) in [(0.0, 0..=0), (0.2, 1800..=2200), (1.0, 10_000..=10_000)] {
            let late = Lateness { share, up_to_ms: 30 };
            let delays: Vec<_> = (0..10_000).filter_map(|_| late.draw(&mut rng)).collect();
            assert!(expected.contains(&delays.len()), "{} of 10000 at {share}", delays.len());
            let longest = delays.iter().max().copied().unwrap_or_default();
            assert!(delays.is_empty() || longest == Duration::from_millis(30), "{longest:?}");
        }
    }
}
