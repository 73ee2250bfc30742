//! The portal's single event counter: ids ascend across all users, with gaps (PORTAL.md 2.2).

use crate::state::rng::Rng;

/// The maximum value to which the counter can be set, so that later ids stay within the portal's signed 64
/// bits.
const ID_MAX: u64 = i64::MAX as u64 / 2;

/// The source of event ids.
#[derive(Debug)]
pub(crate) struct Counter {
    next: u64,
    rng: Rng,
}

impl Counter {
    /// A counter with a random start in the thousands.
    pub(crate) fn new(mut rng: Rng) -> Self {
        Self { next: 1000 + rng.below(9000) as u64, rng }
    }

    /// Assigns an id. Occasionally it leaves a gap, as for other users, bots and failed writes.
    pub(crate) fn allot(&mut self) -> u64 {
        let id = self.next;
        let gap = if self.rng.once_in(6) { self.rng.below(12) as u64 } else { 0 };
        self.next = id + 1 + gap;
        id
    }

    /// Sets the next id to `next`, within the counter's range, and returns it.
    pub(crate) fn set(&mut self, next: u64) -> u64 {
        self.next = next.clamp(1, ID_MAX);
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_with_gaps_and_repeat_with_the_seed() {
        let ids = |seed| {
            let mut counter = Counter::new(Rng::new(seed, 1));
            (0..500).map(|_| counter.allot()).collect::<Vec<_>>()
        };
        assert!(ids(7).is_sorted_by(|a, b| a < b));
        assert!(ids(7).windows(2).any(|pair| pair[1] > pair[0] + 1));
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
    }

    #[test]
    fn a_counter_set_by_hand_allots_exactly_that() {
        let mut counter = Counter::new(Rng::new(1, 1));
        counter.set(1 << 53);
        assert_eq!(counter.allot(), 1 << 53);
        counter.set(5);
        assert_eq!(counter.allot(), 5);
    }
}
