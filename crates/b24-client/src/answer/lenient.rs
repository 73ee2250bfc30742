//! Deserializers for the spellings that portals use: numbers as strings, `Y` for true, `[]` for `{}`
//! (PORTAL.md section 8).
//!
//! Meant only for small responses, because each is first parsed into a tree.

use serde::Deserialize as _;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::Value;

/// An integer from 0, or a string of digits; other values are errors.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    as_number(&value).ok_or_else(|| D::Error::custom("another value, expected a whole number"))
}

/// Like [`number`], but `None` for other values.
pub(crate) fn maybe_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(as_number(&Value::deserialize(deserializer)?))
}

/// `true`, `1` or `Y`, also as a string; other values are false.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_u64() == Some(1),
        Value::String(text) => matches!(text.as_str(), "true" | "1" | "Y" | "y"),
        _ => false,
    })
}

/// A string, or a number as written; other values are empty.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

/// The values of a list or of an object, whose keys are ignored; empty for `null`.
pub(crate) fn rows<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let values: Vec<Value> = match Value::deserialize(deserializer)? {
        Value::Array(list) => list,
        Value::Object(map) => map.into_iter().map(|(_, value)| value).collect(),
        Value::Null => Vec::new(),
        _ => return Err(D::Error::custom("a single value, expected a list")),
    };
    values.into_iter().map(|value| serde_json::from_value(value).map_err(D::Error::custom)).collect()
}

fn as_number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "maybe_number")]
        number: Option<u64>,
        #[serde(default, deserialize_with = "flag")]
        flag: bool,
        #[serde(default, deserialize_with = "text")]
        text: String,
        #[serde(default, deserialize_with = "rows")]
        rows: Vec<String>,
    }

    fn read(body: &str) -> Sample {
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn every_spelling_of_a_value_is_read() {
        for (written, number) in
            [("7", Some(7)), ("\"7\"", Some(7)), ("\"\"", None), ("null", None), ("-1", None)]
        {
            assert_eq!(read(&format!(r#"{{"number":{written}}}"#)).number, number, "{written}");
        }
        for (written, flag) in
            [("true", true), ("1", true), ("\"Y\"", true), ("\"N\"", false), ("0", false), ("[]", false)]
        {
            assert_eq!(read(&format!(r#"{{"flag":{written}}}"#)).flag, flag, "{written}");
        }
        for (written, text) in [("\"a\"", "a"), ("7", "7"), ("null", ""), ("[]", "")] {
            assert_eq!(read(&format!(r#"{{"text":{written}}}"#)).text, text, "{written}");
        }
        for (written, count) in
            [("[]", 0), ("{}", 0), ("null", 0), (r#"["a"]"#, 1), (r#"{"7":"a","9":"b"}"#, 2)]
        {
            assert_eq!(read(&format!(r#"{{"rows":{written}}}"#)).rows.len(), count, "{written}");
        }
        assert!(serde_json::from_str::<Sample>(r#"{"rows":7}"#).is_err());
    }
}
