//! Edits the JSON of a real response and keeps every byte outside the edits.

use serde_json::value::RawValue;

use crate::faults::script::Edit;
use crate::wire::members::Members;
use crate::wire::php_json;

/// Applies `edits` to `json` one by one. An edit that cannot be applied changes nothing.
pub(crate) fn rewrite(json: &str, edits: &[Edit]) -> String {
    edits.iter().fold(json.to_owned(), |json, edit| {
        let path: Vec<String> = edit.pointer.split('/').skip(1).map(unescape).collect();
        edited(&json, &path, edit).unwrap_or(json)
    })
}

/// One step of a pointer (RFC 6901, section 4).
fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// Applies the edit at `path` to `json`; `None` if the path does not exist.
fn edited(json: &str, path: &[String], edit: &Edit) -> Option<String> {
    let Some((step, rest)) = path.split_first() else { return Some(php_json::render(&edit.value)) };
    if let Ok(Members(mut members)) = serde_json::from_str(json) {
        let index = members.iter().position(|(name, _)| name == step).unwrap_or(members.len());
        let values = replacement(members.get(index).map(|(_, value)| &**value), rest, edit)?;
        let place = index..members.len().min(index + 1);
        members.splice(place, values.into_iter().map(|value| (step.clone(), value)));
        let members: Vec<String> = members.iter().map(member).collect();
        return Some(format!("{{{}}}", members.join(",")));
    }
    let mut items: Vec<Box<RawValue>> = serde_json::from_str(json).ok()?;
    let index = step.parse().unwrap_or(items.len()).min(items.len());
    let values = replacement(items.get(index).map(|item| &**item), rest, edit)?;
    let place = index..items.len().min(index + 1);
    items.splice(place, values);
    let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
    Some(format!("[{}]", items.join(",")))
}

/// The replacement for `child`: one value, or none if it is removed. `None` means that the path does not
/// exist.
fn replacement(child: Option<&RawValue>, rest: &[String], edit: &Edit) -> Option<Vec<Box<RawValue>>> {
    let text = match (rest, child) {
        ([], _) if edit.remove => return Some(Vec::new()),
        ([], _) => php_json::render(&edit.value),
        (_, Some(child)) => edited(child.get(), rest, edit)?,
        (_, None) => return None,
    };
    RawValue::from_string(text).ok().map(|value| vec![value])
}

fn member((name, value): &(String, Box<RawValue>)) -> String {
    format!("{}:{}", php_json::render(name), value.get())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ANSWER: &str = r#"{"result":{"events":[{"z":1.50,"a":[ ]},2],"nextOffset":3},"time":{}}"#;

    fn set(pointer: &str, value: Value) -> String {
        rewrite(ANSWER, &[Edit { pointer: pointer.into(), value, remove: false }])
    }

    fn remove(pointer: &str) -> String {
        rewrite(ANSWER, &[Edit { pointer: pointer.into(), value: Value::Null, remove: true }])
    }

    #[test]
    fn values_are_replaced_and_the_rest_keeps_its_bytes() {
        assert_eq!(set("/result/nextOffset", Value::Null), ANSWER.replace(":3", ":null"));
        assert_eq!(set("/result/events/1", json!("a/b")), ANSWER.replace(",2]", r#","a\/b"]"#));
        assert_eq!(set("/result/events/0/a", json!({})), ANSWER.replace("[ ]", "{}"));
        assert_eq!(set("", json!([])), "[]");
    }

    #[test]
    fn what_is_missing_is_added() {
        assert_eq!(set("/error", json!("")), ANSWER.replace(r#""time":{}"#, r#""time":{},"error":"""#));
        assert_eq!(set("/result/events/-", json!(4)), ANSWER.replace(",2]", ",2,4]"));
    }

    #[test]
    fn removing_takes_the_key_along() {
        assert_eq!(remove("/result/events/0"), ANSWER.replace(r#"{"z":1.50,"a":[ ]},"#, ""));
        assert_eq!(remove("/time"), ANSWER.replace(r#","time":{}"#, ""));
    }

    #[test]
    fn a_pointer_into_nowhere_changes_nothing() {
        for pointer in ["/no/where", "/result/nextOffset/deeper", "/result/events/9/x"] {
            assert_eq!(set(pointer, json!(1)), ANSWER);
            assert_eq!(remove(pointer), ANSWER);
        }
        assert_eq!(remove("/absent"), ANSWER);
    }
}
