//! The portal's clock: real time until it is set, advanced or frozen.

use std::fmt::Write as _;

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// The portal's time zone: dates in responses have this offset (PORTAL.md 2.8).
const ZONE: Offset = Offset::constant(3);

/// The portal's current time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    shift: SignedDuration,
    frozen: Option<Timestamp>,
}

impl Clock {
    /// The current time of the portal.
    pub(crate) fn now(&self) -> Timestamp {
        self.frozen.unwrap_or_else(|| shifted(Timestamp::now(), self.shift))
    }

    /// Sets the time to `present`. A frozen clock stays frozen at it.
    pub(crate) fn set(&mut self, present: Timestamp) {
        self.shift = present.duration_since(Timestamp::now());
        self.frozen = self.frozen.map(|_| present);
    }

    /// Moves the time by `step`, which may be negative.
    pub(crate) fn advance(&mut self, step: SignedDuration) {
        self.set(shifted(self.now(), step));
    }

    /// Stops the clock at its current time.
    pub(crate) fn freeze(&mut self) {
        self.frozen = Some(self.now());
    }

    /// Lets a frozen clock continue from its current time.
    pub(crate) fn thaw(&mut self) {
        if let Some(present) = self.frozen.take() {
            self.set(present);
        }
    }
}

/// `from` moved by `step`, or `from` itself if the result is out of range.
fn shifted(from: Timestamp, step: SignedDuration) -> Timestamp {
    from.checked_add(step).unwrap_or(from)
}

/// Formats dates like the portal, and caches the last one, because rows of the same second follow each other.
#[derive(Default)]
pub(crate) struct DatePrinter {
    second: Option<i64>,
    text: String,
}

impl DatePrinter {
    /// `second` (Unix time) as ISO 8601 in the portal's zone.
    pub(crate) fn print(&mut self, second: i64) -> &str {
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = iso(second);
        }
        &self.text
    }
}

/// `second` (Unix time) as ISO 8601 in the portal's zone, `2026-08-20T09:15:02+03:00`.
pub(crate) fn iso(second: i64) -> String {
    let at = ZONE.to_datetime(Timestamp::from_second(second).unwrap_or_default());
    let mut text = String::with_capacity(25);
    // Writing to a `String` cannot fail.
    let _infallible = write!(
        text,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{ZONE}:00",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_carry_the_portals_zone() {
        assert_eq!(iso(0), "1970-01-01T03:00:00+03:00");
        assert_eq!(DatePrinter::default().print(1_787_206_502), "2026-08-20T09:15:02+03:00");
    }

    #[test]
    fn a_frozen_clock_moves_only_when_told() {
        let mut clock = Clock::default();
        clock.set(Timestamp::from_second(1_000_000).unwrap());
        clock.freeze();
        let before = clock.now();
        assert_eq!(clock.now(), before);
        clock.advance(SignedDuration::from_secs(90));
        assert_eq!(clock.now().duration_since(before), SignedDuration::from_secs(90));
        clock.thaw();
        assert!(clock.now().duration_since(before) >= SignedDuration::from_secs(90));
    }
}
