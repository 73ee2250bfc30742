//! The parameters of a call: a single set from query and body, converted to types only when a method reads
//! them (PORTAL.md 1.2, 2.3).

use serde_json::{Map, Value};

use crate::rest::input::form;
use crate::rest::refusal::Refusal;
use crate::wire::members::Members;

/// The parameters of a call. Body keys override query keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters {
    keys: Map<String, Value>,
    /// The original body, which still has the order of its keys.
    body: Box<[u8]>,
}

impl Parameters {
    /// Parses query and body. Malformed JSON, or JSON that is not an object, is silently dropped. A body with
    /// any other content type is parsed as a form, even if it is garbage.
    pub(crate) fn read(query: &str, content_type: &str, body: &[u8]) -> Self {
        let mut keys = form::read(query.as_bytes());
        keys.extend(if is_json(content_type) {
            serde_json::from_slice(body).unwrap_or_default()
        } else {
            form::read(body)
        });
        Self { keys, body: body.into() }
    }

    /// Parses only a query.
    pub(crate) fn from_query(query: &str) -> Self {
        Self::read(query, "", b"")
    }

    /// The value of `name`, if it was sent.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.keys.get(name)
    }

    /// A flag; false if it was not sent. Any text except an empty one and `0` is true, even `N` (PORTAL.md
    /// 3.1).
    ///
    /// # Errors
    ///
    /// The code "100" if the value is not a flag, a number or a text.
    pub(crate) fn boolean(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some(value @ (Value::Null | Value::Array(_) | Value::Object(_))) => {
                Err(Refusal::mistyped(name, value, "bool"))
            }
            Some(value) => Ok(is_truthy(value)),
        }
    }

    /// The names within `name`, in their order in a JSON body; empty for any other body.
    pub(crate) fn order_of(&self, name: &str) -> Vec<String> {
        let body = std::str::from_utf8(&self.body).unwrap_or("");
        let Some(Members(members)) = serde_json::from_str(body).ok() else { return Vec::new() };
        let named = members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        let inner = named.and_then(|(_, value)| serde_json::from_str::<Members>(value.get()).ok());
        inner.map_or_else(Vec::new, |Members(inner)| inner.into_iter().map(|(name, _)| name).collect())
    }

    /// The text of `name`; `None` if it is missing, empty or not a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The text of `name`, which is required.
    ///
    /// # Errors
    ///
    /// An error that names the parameter, if it is missing.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::missing_argument(name))
    }

    /// The value of `name`, if it is a natural number.
    pub(crate) fn whole(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(whole).and_then(|number| u64::try_from(number).ok())
    }

    /// True if PHP treats `name` as true; `missing` if it was not sent.
    pub(crate) fn flag(&self, name: &str, missing: bool) -> bool {
        self.get(name).map_or(missing, is_truthy)
    }

    /// The parameters with all names in upper case, for the methods that ignore case (PORTAL.md 1.1).
    pub(crate) fn folded(&self) -> Self {
        let keys = self.keys.iter().map(|(name, value)| (name.to_uppercase(), value.clone())).collect();
        Self { keys, body: self.body.clone() }
    }

    /// Applies `change` to each text, at any depth.
    pub(crate) fn with_texts(mut self, change: &impl Fn(&str) -> Value) -> Self {
        self.keys.values_mut().for_each(|value| change_texts(value, change));
        self
    }

    /// An integer; `missing` if it was not sent.
    ///
    /// # Errors
    ///
    /// The code "100" if the value is not an integer or a string with one.
    pub(crate) fn integer(&self, name: &str, missing: i64) -> Result<i64, Refusal> {
        let Some(value) = self.get(name) else { return Ok(missing) };
        whole(value).ok_or_else(|| Refusal::invalid_value(name, value))
    }
}

fn change_texts(value: &mut Value, change: &impl Fn(&str) -> Value) {
    match value {
        Value::String(text) => *value = change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| change_texts(item, change)),
        Value::Object(members) => members.values_mut().for_each(|member| change_texts(member, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// True for values that PHP treats as true.
pub(crate) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_true) => *is_true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.as_str(), "" | "0"),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || essence.contains("+json")
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole_float(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok().or_else(|| whole_float(text.trim().parse().ok()?)),
        _ => None,
    }
}

/// `1e3` and `5.0` are numeric too, but only if they are exact integers.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and far within the range")]
fn whole_float(float: f64) -> Option<i64> {
    let exact = float.fract() == 0.0 && float.abs() < 9e15;
    exact.then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json; charset=utf-8";
    const FORM: &str = "application/x-www-form-urlencoded";

    fn offset(query: &str, content_type: &str, body: &str) -> Result<i64, Refusal> {
        Parameters::read(query, content_type, body.as_bytes()).integer("offset", 0)
    }

    #[test]
    fn numbers_and_numeric_strings_are_taken() {
        for (body, expected) in [
            (r#"{"offset":7}"#, 7),
            (r#"{"offset":"7"}"#, 7),
            (r#"{"offset":" 7 "}"#, 7),
            (r#"{"offset":7.0}"#, 7),
            (r#"{"offset":"1e3"}"#, 1000),
            (r#"{"offset":-3}"#, -3),
            (r#"{"offset":9223372036854775807}"#, i64::MAX),
            ("{}", 0),
        ] {
            assert_eq!(offset("", JSON, body).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_100() {
        for body in ["null", r#""""#, "true", r#""abc""#, "1.5", "[]", "{}", "1e30", r#""NaN""#, r#""inf""#] {
            let refusal = offset("", JSON, &format!(r#"{{"offset":{body}}}"#)).unwrap_err();
            assert_eq!((refusal.status, refusal.body["error"].as_str()), (400, Some("100")), "{body}");
            let text = refusal.body["error_description"].as_str().unwrap();
            assert!(text.starts_with("Invalid value") && text.contains("parameter {offset}"), "{text}");
        }
    }

    #[test]
    fn the_body_overrides_the_query() {
        assert_eq!(offset("offset=1", JSON, r#"{"offset":2}"#).unwrap(), 2);
        assert_eq!(offset("offset=1", FORM, "offset=2&limit=3").unwrap(), 2);
        assert_eq!(offset("off%73et=%31&x=%zz", JSON, "").unwrap(), 1);
    }

    #[test]
    fn unusable_bodies_are_dropped_without_an_error() {
        for body in [r#"{"offset":2"#, "[2]", "2", "null", "\u{feff}{\"offset\":2}"] {
            assert_eq!(offset("offset=1", JSON, body).unwrap(), 1, "{body}");
        }
        assert_eq!(offset("", FORM, r#"{"offset":2}"#).unwrap(), 0, "garbage keys");
        assert_eq!(offset("", "application/vnd.api+json", r#"{"offset":2}"#).unwrap(), 2);
    }
}
