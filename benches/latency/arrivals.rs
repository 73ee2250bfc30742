//! Latencies of events, computed from the time stamp in each event.

use std::time::{Duration, Instant};

/// The key in `data` with the time at which an event was made, in microseconds since the epoch.
pub(crate) const MARK: &str = "madeAtMicros";

/// The events that have arrived.
pub(crate) struct Arrivals {
    epoch: Instant,
    arrived: Vec<Arrival>,
}

struct Arrival {
    made: Duration,
    came: Duration,
}

impl Arrivals {
    /// For events whose time stamps are counted from `epoch`.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, arrived: Vec::new() }
    }

    /// Records that `text`, with all events in it, has arrived now.
    pub(crate) fn note(&mut self, text: &str) {
        let came = self.epoch.elapsed();
        let marks = text.split(MARK).skip(1);
        self.arrived.extend(marks.map(|behind| Arrival { made: moment(behind), came }));
    }

    /// How many events have arrived.
    pub(crate) fn count(&self) -> usize {
        self.arrived.len()
    }

    /// The latencies of the events that were made at `start` or later.
    pub(crate) fn latencies_from(&self, start: Instant) -> Vec<Duration> {
        let start = start.saturating_duration_since(self.epoch);
        let measured = self.arrived.iter().filter(|arrival| arrival.made >= start);
        measured.map(|arrival| arrival.came.saturating_sub(arrival.made)).collect()
    }
}

/// The number at the start of text such as `":123}`.
fn moment(behind: &str) -> Duration {
    let digits = behind.trim_start_matches(['"', ':']);
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    Duration::from_micros(digits[..end].parse().unwrap())
}
