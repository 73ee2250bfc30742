//! The portal's clock: real time until somebody sets, advances or freezes it.

use std::fmt::Write as _;

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// The portal's own time zone: dates on the wire carry this offset (PORTAL.md 2.8).
const ZONE: Offset = Offset::constant(3);

/// What the portal takes for the present.
#[derive(Debug, Default)]
pub struct Clock {
    shift: SignedDuration,
    frozen: Option<Timestamp>,
}

impl Clock {
    /// The present, as the portal sees it.
    pub fn now(&self) -> Timestamp {
        self.frozen.unwrap_or_else(|| shifted(Timestamp::now(), self.shift))
    }

    /// Makes `present` the present; a frozen clock stays frozen there.
    pub fn set(&mut self, present: Timestamp) {
        self.shift = present.duration_since(Timestamp::now());
        self.frozen = self.frozen.map(|_| present);
    }

    /// Moves the present by `step`, which may be negative.
    pub fn advance(&mut self, step: SignedDuration) {
        self.set(shifted(self.now(), step));
    }

    /// Stops the clock where it stands.
    pub fn freeze(&mut self) {
        self.frozen = Some(self.now());
    }

    /// Lets a frozen clock run on from where it stands.
    pub fn thaw(&mut self) {
        if let Some(present) = self.frozen.take() {
            self.set(present);
        }
    }
}

/// `from` moved by `step`, or `from` itself when that leaves the calendar.
fn shifted(from: Timestamp, step: SignedDuration) -> Timestamp {
    from.checked_add(step).unwrap_or(from)
}

/// Writes dates as the portal does, keeping the last one: rows of one second stand together.
#[derive(Default)]
pub struct DatePrinter {
    second: Option<i64>,
    text: String,
}

impl DatePrinter {
    /// `second` (Unix time) as ISO 8601 in the portal's zone.
    pub fn print(&mut self, second: i64) -> &str {
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = iso(second);
        }
        &self.text
    }
}

/// `second` (Unix time) as ISO 8601 in the portal's zone, `2026-08-20T09:15:02+03:00`.
pub fn iso(second: i64) -> String {
    let at = ZONE.to_datetime(Timestamp::from_second(second).unwrap_or_default());
    let mut text = String::with_capacity(25);
    // Writing to a String cannot fail.
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
