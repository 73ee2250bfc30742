//! `$result[key][field]` in a call of a batch: a reference to the result of an earlier call of the same
//! batch. It is documented, and the official Python client uses it to read long lists.

use serde_json::{Map, Value};

const MARK: &str = "$result";

/// The results of the calls of a batch so far, by their keys.
#[derive(Default)]
pub(crate) struct Results(Value);

impl Results {
    /// Stores the result of the call `key`.
    pub(crate) fn keep(&mut self, key: &str, result: Value) {
        if !self.0.is_object() {
            self.0 = Value::Object(Map::new());
        }
        self.0[key] = result;
    }

    /// Resolves the references in `text`. If the text is only a reference, the result is the value itself, of
    /// any type. Inside a longer text, the value is converted to text. A missing value is empty.
    pub(crate) fn resolve(&self, text: &str) -> Value {
        if let Some((value, "")) = self.look_up(text) {
            return value.cloned().unwrap_or_else(|| "".into());
        }
        let (mut resolved, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(MARK) {
            resolved.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some((value, behind)) = self.look_up(rest) {
                resolved.push_str(&as_text(value));
                rest = behind;
            } else {
                resolved.push_str(MARK);
                rest = &rest[MARK.len()..];
            }
        }
        Value::String(resolved + rest)
    }

    /// The value of the reference at the start of `text`, and the text after it; `None` if there is no
    /// reference.
    fn look_up<'a>(&self, text: &'a str) -> Option<(Option<&Value>, &'a str)> {
        let (mut value, mut rest) = step(Some(&self.0), text.strip_prefix(MARK)?)?;
        while let Some(further) = step(value, rest) {
            (value, rest) = further;
        }
        Some((value, rest))
    }
}

/// Follows one `[name]`.
fn step<'v, 't>(value: Option<&'v Value>, text: &'t str) -> Option<(Option<&'v Value>, &'t str)> {
    let (name, rest) = text.strip_prefix('[')?.split_once(']')?;
    let inner = match value {
        Some(Value::Object(members)) => members.get(name),
        Some(Value::Array(items)) => name.parse().ok().and_then(|index: usize| items.get(index)),
        _ => None,
    };
    Some((inner, rest))
}

fn as_text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_become_what_they_name() {
        let mut results = Results::default();
        assert_eq!(results.resolve("$result[who][ID]"), "", "nothing has been returned yet");
        results.keep("who", json!({"ID": "7", "groups": [3, 5]}));
        results.keep("1", json!([{"ID": 12}]));
        for (text, expected) in [
            ("$result[who][ID]", json!("7")),
            ("$result[1][0][ID]", json!(12)),
            ("$result[who][groups]", json!([3, 5])),
            ("$result[who][groups][1]", json!(5)),
            ("user $result[who][ID] of $result[1][0][ID]!", json!("user 7 of 12!")),
            ("$result[who][age]", json!("")),
            ("$result[who][ID][0]", json!("")),
            ("$result[1][9][ID]", json!("")),
            ("a$result[nobody]b", json!("ab")),
            ("$result and $results[1]", json!("$result and $results[1]")),
            ("$result[who", json!("$result[who")),
            ("", json!("")),
        ] {
            assert_eq!(results.resolve(text), expected, "{text}");
        }
    }
}
