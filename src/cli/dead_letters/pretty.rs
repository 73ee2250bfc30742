//! JSON with line breaks for people. It keeps the sender's numbers, strings and order unchanged.

const INDENT: &str = "  ";

/// `json`, which must be valid, with each member of an object or array on a line of its own.
pub(super) fn spread(json: &str) -> String {
    let mut spread = String::with_capacity(json.len() * 2);
    let (mut depth, mut is_empty) = (0, false);
    let mut rest = json.chars();
    while let Some(c) = rest.next() {
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        depth -= usize::from(closes);
        if is_empty != closes && (is_empty || closes) {
            break_line(&mut spread, depth);
        }
        is_empty = matches!(c, '{' | '[');
        depth += usize::from(is_empty);
        spread.push(c);
        match c {
            '"' => push_string(&mut spread, &mut rest),
            ':' => spread.push(' '),
            ',' => break_line(&mut spread, depth),
            _ => {}
        }
    }
    spread
}

fn break_line(spread: &mut String, depth: usize) {
    spread.push('\n');
    spread.push_str(&INDENT.repeat(depth));
}

/// Copies the rest of a string, with its closing quote.
fn push_string(spread: &mut String, rest: &mut std::str::Chars<'_>) {
    let mut is_escaped = false;
    for c in rest.by_ref() {
        spread.push(c);
        match c {
            '"' if !is_escaped => return,
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn it_looks_like_what_people_know() {
        let json = r#"{"b":1.50,"a":[1,{"x":"}\\\"{ "}],"e":[],"o":{ }, "t":true}"#;
        let expected = "{\n  \"b\": 1.50,\n  \"a\": [\n    1,\n    {\n      \"x\": \"}\\\\\\\"{ \"\n    }\n  ],\n  \"e\": [],\n  \"o\": {},\n  \"t\": true\n}";
        assert_eq!(spread(json), expected);
        assert_eq!((spread("7"), spread("\"a b\"")), ("7".into(), "\"a b\"".into()));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[a-z{}\\[\\]\", \\\\]{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"{]{0,3}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_spread_as_others_would_and_means_the_same(value in value()) {
            prop_assert_eq!(spread(&value.to_string()), serde_json::to_string_pretty(&value).unwrap());
        }
    }
}
