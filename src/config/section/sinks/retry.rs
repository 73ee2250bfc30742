//! `sinks.NAME.retry`: the delay between attempts, and when to give up on an event.

use std::time::Duration;

use config::{Value, ValueKind};

use crate::config::parse::quote;
use crate::config::parse::table::Table;
use crate::config::parse::value;

const USUAL: RetryConfig =
    RetryConfig { min: Duration::from_secs(1), max: Duration::from_secs(5 * 60), give_up: GiveUp::Never };
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60 * 60);

const SHORTEST_GIVE_UP: Duration = Duration::from_secs(1);
const LONGEST_GIVE_UP: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Exponential backoff with full jitter: each delay is between zero and a step that doubles from `min` to
/// `max`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryConfig {
    /// The first step.
    pub min: Duration,
    /// The last step.
    pub max: Duration,
    /// `give_up`: when an event that keeps failing becomes a dead letter.
    pub give_up: GiveUp,
}

/// `retry.give_up`: how long a failing event is retried.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GiveUp {
    /// Retry until the sink takes the event.
    Never,
    /// For this long, counted from the first attempt.
    After(Duration),
    /// This many attempts; at least 1.
    Attempts(u32),
}

/// Reads the table and reports violations.
pub(crate) fn read(table: &mut Table<'_>) -> RetryConfig {
    let has_min = table.has("min");
    let retry = RetryConfig {
        min: table.take_or("min", value::duration(SHORTEST, LONGEST), USUAL.min),
        max: table.take_or("max", value::duration(SHORTEST, LONGEST), USUAL.max),
        give_up: table.take_or("give_up", give_up, USUAL.give_up),
    };
    if retry.min > retry.max {
        let key = if has_min { "min" } else { "max" };
        let (min, max) = (value::spelled(retry.min), value::spelled(retry.max));
        table.report(key, format!("`min` ({min}) must not be above `max` ({max})"));
    }
    retry
}

/// A number without a unit counts attempts; a text with a unit is a duration.
fn give_up(value: &Value) -> Result<GiveUp, String> {
    let rule = || {
        let (min, max) = (value::spelled(SHORTEST_GIVE_UP), value::spelled(LONGEST_GIVE_UP));
        format!(
            "must be a duration from {min} to {max}, such as \"2h\", or a number of attempts from 1 to {}, not {}",
            u32::MAX,
            quote::value(value)
        )
    };
    let attempts: Option<i64> = match &value.kind {
        ValueKind::I64(number) => Some(*number),
        ValueKind::String(text) => text.parse().ok(),
        _ => return Err(rule()),
    };
    match attempts {
        Some(attempts) => u32::try_from(attempts).ok().filter(|attempts| *attempts > 0).map(GiveUp::Attempts),
        None => value::duration(SHORTEST_GIVE_UP, LONGEST_GIVE_UP)(value).ok().map(GiveUp::After),
    }
    .ok_or_else(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn giving_up_is_a_duration_or_a_number_of_attempts() {
        let hours = |hours: u64| Ok(GiveUp::After(Duration::from_secs(hours * 3600)));
        assert_eq!(give_up(&Value::new(None, "2h")), hours(2));
        assert_eq!(give_up(&Value::new(None, "365d")), hours(365 * 24));
        assert_eq!(give_up(&Value::new(None, "1s")), Ok(GiveUp::After(Duration::from_secs(1))));
        for value in [Value::new(None, 5), Value::new(None, "5")] {
            assert_eq!(give_up(&value), Ok(GiveUp::Attempts(5)));
        }
        for text in ["0", "-1", "0s", "999ms", "366d", "never", "", "1.5", "4294967296"] {
            let error = give_up(&Value::new(None, text)).unwrap_err();
            assert!(error.contains("must be a duration from 1s to 365d"), "{text}: {error}");
        }
        for value in [Value::new(None, 0), Value::new(None, true), Value::new(None, 1.5)] {
            assert!(give_up(&value).unwrap_err().contains("or a number of attempts from 1"));
        }
    }
}
