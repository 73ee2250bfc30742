//! A call's parameters: from query and body into one set, and typed only when a method asks
//! (PORTAL.md 1.2, 2.3).

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// What came with a call. Body keys override query keys.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Map<String, Value>);

impl Parameters {
    /// Reads query and body. Malformed JSON, or JSON that is no object, is silently dropped; any
    /// other content type is read as a form, garbage included.
    pub fn read(query: &str, content_type: &str, body: &[u8]) -> Self {
        let mut keys = form(query.as_bytes());
        keys.extend(if is_json(content_type) {
            serde_json::from_slice(body).unwrap_or_default()
        } else {
            form(body)
        });
        Self(keys)
    }

    /// The value of `name`, if it was sent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The text of `name`, unless it is missing, empty or something else.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The text of `name`, which must be there.
    ///
    /// # Errors
    ///
    /// Refuses when it is missing, and names it.
    pub fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| Refusal::missing_argument(name))
    }

    /// The natural number `name` reads as, if it does.
    pub fn whole(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(whole).and_then(|number| u64::try_from(number).ok())
    }

    /// Whether `name` counts as true in PHP; `missing` when it was not sent.
    pub fn flag(&self, name: &str, missing: bool) -> bool {
        self.get(name).map_or(missing, |value| match value {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty() && text != "0",
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
        })
    }

    /// The same with all names in upper case, for the methods that fold them (PORTAL.md 1.1).
    pub fn folded(&self) -> Self {
        Self(self.0.iter().map(|(name, value)| (name.to_uppercase(), value.clone())).collect())
    }

    /// An integer, `missing` when it was not sent.
    ///
    /// # Errors
    ///
    /// Anything but a whole number or a string that reads as one is refused with the code "100".
    pub fn integer(&self, name: &str, missing: i64) -> Result<i64, Refusal> {
        let Some(value) = self.get(name) else { return Ok(missing) };
        whole(value).ok_or_else(|| Refusal::invalid_value(name, value))
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

/// `1e3` and `5.0` are numeric too; what does not fit exactly is not.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and far within the range")]
fn whole_float(float: f64) -> Option<i64> {
    let exact = float.fract() == 0.0 && float.abs() < 9e15;
    exact.then_some(float as i64)
}

fn form(bytes: &[u8]) -> Map<String, Value> {
    bytes
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let split = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(split + 1..).unwrap_or_default();
            (decode(&pair[..split]), Value::String(decode(value)))
        })
        .collect()
}

/// Undoes percent encoding; what is no valid escape stays as it is.
fn decode(bytes: &[u8]) -> String {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(hex);
        plain.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// `text` percent-encoded, fit to stand in a query (RFC 3986, 2.3).
pub fn encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn hex(digits: &[u8]) -> Option<u8> {
    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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
    fn what_is_encoded_is_decoded_again() {
        let text = "a b&c=d+%41/Ж~";
        assert_eq!(encode(text), "a%20b%26c%3Dd%2B%2541%2F%D0%96~");
        assert_eq!(decode(encode(text).as_bytes()), text);
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
