//! Typed values: the rule that a single value must follow, and the error if it does not.
//!
//! Texts are accepted for numbers, booleans, durations and lists if they parse, because environment variables
//! are always text. The reverse is refused.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use config::{Value, ValueKind};
use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::config::parse::quote;
use crate::config::parse::table;
use crate::config::parse::variables::environment;
use crate::config::secrets::secret_line;
use crate::human::SIZE_UNITS;

/// A text that is not empty.
pub(crate) fn text(value: &Value) -> Result<String, String> {
    match &value.kind {
        ValueKind::String(text) if text.is_empty() => Err("must not be empty".to_owned()),
        ValueKind::String(text) => Ok(text.clone()),
        _ => Err(format!("must be a text in quotes, not {}", quote::value(value))),
    }
}

/// One word. It is never shown, because its secret is easily put in its place.
pub(crate) fn word(value: &Value) -> Result<String, String> {
    let text = secret(value)?;
    let text = secret_line::of_value(&text);
    secret_line::refuse_invisible(text)?;
    secret_line::refuse_blanks(text)?;
    Ok(text.to_owned())
}

/// A text that is not empty and is never shown.
pub(crate) fn secret(value: &Value) -> Result<String, String> {
    match &value.kind {
        ValueKind::String(text) if !text.is_empty() => Ok(text.clone()),
        ValueKind::String(_) => Err("must not be empty".to_owned()),
        _ => Err(format!("must be a text in quotes, not {}", quote::kind(value))),
    }
}

/// A path.
pub(crate) fn path(value: &Value) -> Result<PathBuf, String> {
    let text = text(value)?;
    if text.contains(char::is_control) {
        return Err(format!("must be a path, not {}", quote::text(&text)));
    }
    secret_line::refuse_invisible(&text)?;
    environment::refuse_shorthand(&text)?;
    Ok(PathBuf::from(text))
}

/// One of the words that `T` accepts.
pub(crate) fn choice<T: FromStr<Err = &'static str>>(value: &Value) -> Result<T, String> {
    match &value.kind {
        ValueKind::String(text) => text.parse().map_err(|rule: &str| {
            let hint = meant(text, rule).map_or_else(String::new, |word| format!(": did you mean `{word}`?"));
            format!("{rule}, not {}{hint}", quote::value(value))
        }),
        _ => Err(format!("must be a text in quotes, not {}", quote::value(value))),
    }
}

/// Words from other programs, with the word that the relay uses for the same thing.
const SYNONYMS: [(&str, &str); 16] = [
    ("http", "webhook"),
    ("https", "webhook"),
    ("url", "webhook"),
    ("hook", "webhook"),
    ("post", "webhook"),
    ("console", "stdout"),
    ("print", "stdout"),
    ("terminal", "stdout"),
    ("jsonl", "file"),
    ("path", "file"),
    ("warning", "warn"),
    ("verbose", "debug"),
    ("plain", "text"),
    ("gz", "gzip"),
    ("zst", "zstd"),
    ("latest", "now"),
];

/// Finds the word in the backticks of `rule` that `text` probably means.
fn meant<'r>(text: &str, rule: &'r str) -> Option<&'r str> {
    let words: Vec<&str> = rule.split('`').skip(1).step_by(2).collect();
    let text = text.trim().to_lowercase();
    let synonym = SYNONYMS.iter().find(|(other, word)| *other == text && words.contains(word));
    synonym.map(|(_, word)| *word).or_else(|| table::nearest(&text, &words))
}

/// `true` or `false`.
pub(crate) fn boolean(value: &Value) -> Result<bool, String> {
    match &value.kind {
        ValueKind::Boolean(boolean) => Some(*boolean),
        ValueKind::String(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| format!("must be `true` or `false`, not {}", quote::value(value)))
}

/// An integer within `range`.
pub(crate) fn integer<T>(range: RangeInclusive<T>) -> impl FnOnce(&Value) -> Result<T, String>
where
    T: TryFrom<i64> + FromStr + PartialOrd + fmt::Display,
{
    move |value| {
        match &value.kind {
            ValueKind::I64(number) => T::try_from(*number).ok(),
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        }
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!(
                "must be a whole number from {} to {}, not {}",
                range.start(),
                range.end(),
                quote::value(value)
            )
        })
    }
}

/// A positive number that identifies an object at the portal. If it is a text, the error does not repeat it,
/// because the secret that belongs to the number is easily put in its place.
pub(crate) fn id(value: &Value) -> Result<u64, String> {
    let shown = match &value.kind {
        ValueKind::String(text) if text.parse::<i64>().is_err() => quote::kind(value).to_owned(),
        _ => quote::value(value),
    };
    match &value.kind {
        ValueKind::I64(number) => Some(*number),
        ValueKind::String(text) => text.parse().ok(),
        _ => None,
    }
    .and_then(|number: i64| u64::try_from(number).ok().filter(|number| *number > 0))
    .ok_or_else(|| format!("must be a whole number from 1 to {}, not {shown}", i64::MAX))
}

/// A number within `range`, with or without a fraction.
pub(crate) fn number(range: RangeInclusive<f64>) -> impl FnOnce(&Value) -> Result<f64, String> {
    move |value| {
        match &value.kind {
            ValueKind::I64(number) => i32::try_from(*number).ok().map(f64::from),
            ValueKind::Float(number) => Some(*number),
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        }
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!("must be a number from {} to {}, not {}", range.start(), range.end(), quote::value(value))
        })
    }
}

/// A size in bytes within `range`, such as `"100MiB"`.
pub(crate) fn size(range: RangeInclusive<u64>) -> impl FnOnce(&Value) -> Result<u64, String> {
    move |value| {
        let ValueKind::String(text) = &value.kind else {
            return Err(format!(
                "must be a size in quotes, such as `\"100MiB\"`, not {}",
                quote::value(value)
            ));
        };
        bytes(text).filter(|size| range.contains(size)).ok_or_else(|| {
            format!(
                "must be a size from {} to {}, such as `\"100MiB\"`, not {}",
                spelled_size(*range.start()),
                spelled_size(*range.end()),
                quote::value(value)
            )
        })
    }
}

fn bytes(text: &str) -> Option<u64> {
    let unit = SIZE_UNITS.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)));
    let (digits, unit) = unit.or_else(|| Some((text.strip_suffix('B')?, 1)))?;
    digits.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

/// Formats a size in the largest unit that divides it exactly, such as `256MiB`.
pub(crate) fn spelled_size(size: u64) -> String {
    let unit = SIZE_UNITS.into_iter().find(|(_, unit)| size > 0 && size.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{size}B"), |(name, unit)| format!("{}{name}", size / unit))
}

/// A duration within `min..=max`, such as `"30s"`.
pub(crate) fn duration(min: Duration, max: Duration) -> impl FnOnce(&Value) -> Result<Duration, String> {
    move |value| {
        let duration = any_duration(value)?;
        if (min..=max).contains(&duration) {
            return Ok(duration);
        }
        Err(format!("must be {} to {}, not {}", spelled(min), spelled(max), quote::value(value)))
    }
}

/// Formats a duration for people, such as `1m 30s`.
pub(crate) fn spelled(duration: Duration) -> String {
    const DAY: u64 = 24 * 3600;
    if duration.subsec_nanos() == 0 && duration.as_secs() > DAY && duration.as_secs().is_multiple_of(DAY) {
        return format!("{}d", duration.as_secs() / DAY);
    }
    SignedDuration::try_from(duration).map_or_else(|_| "for ever".to_owned(), |signed| format!("{signed:#}"))
}

fn any_duration(value: &Value) -> Result<Duration, String> {
    const RULE: &str = "must be a duration with its unit, such as \"30s\" or \"500ms\"";
    let text = match &value.kind {
        ValueKind::String(text) => text.clone(),
        ValueKind::I64(number) => number.to_string(),
        _ => return Err(format!("{RULE}, not {}", quote::value(value))),
    };
    if text.parse::<u32>().is_ok() {
        return Err(format!("{RULE}: write \"{text}s\" for {text} seconds"));
    }
    // A day is always 24 hours here, even when the clocks change.
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok())
        .ok_or_else(|| format!("{RULE}, not {}", quote::value(value)))
}

/// A list with at least one text and without empty ones. A single text is split at commas.
pub(crate) fn list(value: &Value) -> Result<Vec<String>, String> {
    let items = match &value.kind {
        ValueKind::Array(items) => items.iter().map(text).collect::<Result<Vec<_>, _>>(),
        ValueKind::String(text) => Ok(text.split(',').map(str::to_owned).collect()),
        _ => return Err(format!("must be a list such as [\"a\", \"b\"], not {}", quote::value(value))),
    }
    .map_err(|text| format!("each item {text}"))?;
    let items: Vec<String> = items.iter().map(|item| item.trim().to_owned()).collect();
    if items.is_empty() {
        return Err("must not be an empty list: leave the key out to take all".to_owned());
    }
    if items.iter().any(String::is_empty) {
        return Err("each item must not be empty".to_owned());
    }
    Ok(items)
}

/// Permission bits, given as an octal text such as `"0640"`.
pub(crate) fn file_mode(value: &Value) -> Result<u32, String> {
    const RULE: &str = "must be permission bits as an octal text, such as \"0640\"";
    let text = match &value.kind {
        ValueKind::String(text) => text,
        ValueKind::I64(number) if (0..=0o777).contains(number) => {
            return Err(format!("{RULE}, not the number {number}: write it in quotes"));
        }
        _ => return Err(format!("{RULE}, not {}", quote::value(value))),
    };
    let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    let mode = mode.ok_or_else(|| format!("{RULE}, up to \"0777\", not {}", quote::value(value)))?;
    if mode & 0o200 == 0 {
        return Err(format!("must let the owner write, as \"0640\" does, not {}", quote::value(value)));
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Value {
        Value::new(None, text)
    }

    #[test]
    fn durations_need_a_unit_and_are_never_negative() {
        let within = || duration(Duration::ZERO, Duration::from_secs(3600));
        for (text, ms) in [("5s", 5_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(within()(&given(text)), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["5", "-5s", "5s ago", "", "s", "2h", "99999999999999h", "1 fortnight"] {
            assert!(within()(&given(text)).is_err(), "{text}");
        }
        assert!(within()(&given("5")).unwrap_err().contains("write \"5s\""));
        assert!(within()(&Value::new(None, 5)).unwrap_err().contains("write \"5s\""));
        assert!(within()(&given("2h")).unwrap_err().contains("must be 0s to 1h, not `2h`"));
    }

    #[test]
    fn a_file_mode_is_octal_and_lets_the_owner_write() {
        for (text, mode) in [("0640", 0o640), ("600", 0o600), ("0777", 0o777)] {
            assert_eq!(file_mode(&given(text)), Ok(mode));
        }
        for text in ["", "0440", "1777", "0689", "+640", "0o640", "rw-r-----", "7777777777777777"] {
            assert!(file_mode(&given(text)).is_err(), "{text}");
        }
        assert!(file_mode(&Value::new(None, 416)).is_err());
    }

    #[test]
    fn lists_come_as_lists_or_with_commas() {
        assert_eq!(list(&given("a, b,c")), Ok(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        assert_eq!(list(&Value::new(None, vec!["a", "b "])), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert!(list(&given("a,,b")).is_err());
        assert!(list(&Value::new(None, Vec::<String>::new())).is_err());
        assert!(list(&Value::new(None, vec![1, 2])).is_err());
        assert!(list(&Value::new(None, 1)).is_err());
    }

    #[test]
    fn texts_stand_for_numbers_and_booleans_but_not_the_other_way_round() {
        assert_eq!(integer(1..=1000)(&given("1000")), Ok(1000));
        assert_eq!(boolean(&given("true")), Ok(true));
        for text in ["0", "1001", "-1", "1.5", "99999999999999999999", "x"] {
            assert!(integer(1..=1000)(&given(text)).is_err(), "{text}");
        }
        for value in [Value::new(None, 5), Value::new(None, true), Value::new(None, 1.5)] {
            assert!(text(&value).is_err() && path(&value).is_err() && secret(&value).is_err());
        }
    }
}
