//! Formats and parses times, ages and sizes for people.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use crate::wall_clock::now_ms;

/// The units of sizes, the largest first, each with its number of bytes.
pub const SIZE_UNITS: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// The text is not a time or a duration; names the expected form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TimeError(&'static str);

/// A number of seconds, in the largest unit that fits.
pub fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The time since `unix_ms`, followed by "ago".
pub fn ago(unix_ms: i64) -> String {
    format!("{} ago", age(unix_ms))
}

/// The time since `unix_ms`.
pub fn age(unix_ms: i64) -> String {
    span(now_ms().saturating_sub(unix_ms) / 1000)
}

/// The time until `unix_ms`.
pub fn until(unix_ms: i64) -> String {
    span(unix_ms.saturating_sub(now_ms()) / 1000)
}

/// The moment, in UTC, to the second.
pub fn time(unix_ms: i64) -> String {
    Timestamp::from_second(unix_ms.div_euclid(1000)).unwrap_or_default().to_string()
}

/// A number of bytes, in the largest unit that fits.
pub fn size(bytes: u64) -> String {
    SIZE_UNITS.into_iter().find(|(_, unit)| bytes >= *unit).map_or_else(
        || format!("{bytes} bytes"),
        |(name, unit)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    )
}

/// Parses a moment into Unix milliseconds: `2026-11-21T09:00:00Z`, or an age such as `2h`.
pub fn moment(text: &str) -> Result<i64, TimeError> {
    let ago_ms = || {
        let span: Span = text.parse().ok()?;
        // A day always has 24 hours here.
        let ago =
            span.to_duration(SpanRelativeTo::days_are_24_hours()).ok().filter(|ago| !ago.is_negative())?;
        now_ms().checked_sub(i64::try_from(ago.as_millis()).ok()?)
    };
    let moment = text.parse().ok().map(Timestamp::as_millisecond);
    moment.or_else(ago_ms).ok_or(TimeError(
        "must be a time with its zone, such as 2026-11-21T09:00:00Z, or an age, such as 2h or 3d",
    ))
}

/// Parses a duration.
pub fn duration(text: &str) -> Result<Duration, TimeError> {
    let parsed: SignedDuration = text.parse().map_err(|_| TimeError("write it like 10s, 2m or 1h"))?;
    Duration::try_from(parsed).map_err(|_| TimeError("must not be negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_an_age() {
        assert_eq!(moment("2026-11-21T09:00:00Z"), moment("2026-11-21T12:00:00+03:00"));
        assert_eq!(moment("2026-11-21T09:00:00.5Z"), Ok(1_795_251_600_500));
        let day_ms = 24 * 3600 * 1000;
        let before_ms = now_ms() - day_ms;
        for text in ["1d", "24h", "1440m"] {
            assert!((before_ms..=now_ms() - day_ms).contains(&moment(text).unwrap()), "{text}");
        }
        for text in ["", "2", "soon", "-2h", "2026-11-21", "2026-11-21T09:00:00", "99999y"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_spans_are_short() {
        assert_eq!([0, 1023, 1024, 1_600_000].map(size), ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB"]);
        assert_eq!([-5, 119, 600, 7_200].map(span), ["0 s", "119 s", "10 min", "2 h"]);
    }
}
