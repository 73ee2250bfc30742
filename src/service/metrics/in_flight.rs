//! The attempts in flight of a sink. A hanging attempt has not failed yet, so only its age shows the problem.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The attempts in flight of a sink. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<Begun>>);

#[derive(Default)]
struct Begun {
    count: u64,
    at: BTreeMap<u64, Instant>,
}

impl InFlight {
    /// Records the start of an attempt; returns its number.
    pub(crate) fn begin(&self) -> u64 {
        let mut begun = self.begun();
        begun.count += 1;
        let number = begun.count;
        begun.at.insert(number, Instant::now());
        number
    }

    /// Records the end of that attempt.
    pub(crate) fn end(&self, number: u64) {
        self.begun().at.remove(&number);
    }

    /// The age of the oldest attempt; zero if there is none.
    pub(crate) fn longest(&self) -> Duration {
        self.begun().at.first_key_value().map(|(_, at)| at.elapsed()).unwrap_or_default()
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_counts() {
        let (in_flight, second) = (InFlight::default(), Duration::from_secs(1));
        assert_eq!(in_flight.longest(), Duration::ZERO);
        let one = in_flight.begin();
        tokio::time::advance(second).await;
        let other = in_flight.begin();
        assert_eq!(in_flight.longest(), second);
        in_flight.end(one);
        tokio::time::advance(second).await;
        assert_eq!(in_flight.longest(), second);
        in_flight.end(other);
        assert_eq!(in_flight.longest(), Duration::ZERO);
    }
}
