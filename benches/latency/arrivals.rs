//! How long events took, told from the mark that each carries.

use std::time::{Duration, Instant};

/// The key of the moment an event was made, in microseconds since the epoch, within its `data`.
pub const MARK: &str = "madeAtMicros";

/// The events that have arrived.
pub struct Arrivals {
    epoch: Instant,
    arrived: Vec<Arrival>,
}

struct Arrival {
    made: Duration,
    came: Duration,
}

impl Arrivals {
    /// Of events whose moments are counted from `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Self { epoch, arrived: Vec::new() }
    }

    /// `text` is here now, with all events in it.
    pub fn note(&mut self, text: &str) {
        let came = self.epoch.elapsed();
        let marks = text.split(MARK).skip(1);
        self.arrived.extend(marks.map(|behind| Arrival { made: moment(behind), came }));
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.arrived.len()
    }

    /// How long those took that were made at `start` or later.
    pub fn latencies_from(&self, start: Instant) -> Vec<Duration> {
        let start = start.saturating_duration_since(self.epoch);
        let measured = self.arrived.iter().filter(|arrival| arrival.made >= start);
        measured.map(|arrival| arrival.came.saturating_sub(arrival.made)).collect()
    }
}

/// The number in `":123}`, and so on.
fn moment(behind: &str) -> Duration {
    let digits = behind.trim_start_matches(['"', ':']);
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    Duration::from_micros(digits[..end].parse().unwrap())
}
