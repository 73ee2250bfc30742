//! Parses queries and forms like PHP: decodes percent encoding, `a[b]=1` becomes a map, `a[]=1` a list
//! (PORTAL.md 1.2).

use serde_json::{Map, Value};

/// The maximum depth of brackets; deeper values are dropped.
const DEPTH_MAX: usize = 8;

/// The pairs of a query or a form. If a name occurs twice, the last value counts.
pub(crate) fn read(bytes: &[u8]) -> Map<String, Value> {
    let mut keys = Map::new();
    for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let split = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let value = pair.get(split + 1..).unwrap_or_default();
        let name = decode(&pair[..split]);
        let (first, steps) = steps(&name);
        if steps.len() <= DEPTH_MAX {
            put(&mut keys, first, &steps, decode(value));
        }
    }
    keys.into_iter().map(|(name, value)| (name, listed(value))).collect()
}

/// Converts maps with the keys 0, 1, 2 and so on into lists, because PHP does not distinguish them.
fn listed(value: Value) -> Value {
    let Value::Object(keys) = value else { return value };
    let mut keys: Map<String, Value> = keys.into_iter().map(|(name, value)| (name, listed(value))).collect();
    let is_list = !keys.is_empty() && (0..keys.len()).all(|index| keys.contains_key(&index.to_string()));
    if !is_list {
        return Value::Object(keys);
    }
    (0..keys.len()).filter_map(|index| keys.remove(&index.to_string())).collect()
}

/// Splits `a[b][]` into `a` and the steps `b` and an empty one. A name with unbalanced brackets is used
/// unchanged.
fn steps(name: &str) -> (&str, Vec<&str>) {
    let open = name.find('[').filter(|open| *open > 0 && name.ends_with(']'));
    let Some(open) = open else { return (name, Vec::new()) };
    let inner = &name[open + 1..name.len() - 1];
    (&name[..open], inner.split("][").collect())
}

fn put(keys: &mut Map<String, Value>, name: &str, steps: &[&str], value: String) {
    let name = if name.is_empty() { next_index(keys) } else { name.to_owned() };
    let Some((next, rest)) = steps.split_first() else {
        keys.insert(name, value.into());
        return;
    };
    let inner = keys.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Some(inner) = inner.as_object_mut() {
        put(inner, next, rest, value);
    }
}

/// The key for `[]`: one more than the highest number so far.
fn next_index(keys: &Map<String, Value>) -> String {
    let highest = keys.keys().filter_map(|key| key.parse::<u32>().ok()).max();
    highest.map_or(0, |highest| highest.saturating_add(1)).to_string()
}

/// Decodes percent encoding. Invalid escapes stay unchanged.
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

/// Percent-encodes `text` for a query (RFC 3986, 2.3).
pub(crate) fn encode(text: &str) -> String {
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
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_nest() {
        for (form, expected) in [
            ("a=1&b=%32+", json!({"a": "1", "b": "2 "})),
            ("f[code]=x&f[p][name]=y", json!({"f": {"code": "x", "p": {"name": "y"}}})),
            ("f%5Bcode%5D=x", json!({"f": {"code": "x"}})),
            ("c[]=x&c[]=y&c[7]=z&c[]=w", json!({"c": {"0": "x", "1": "y", "7": "z", "8": "w"}})),
            ("c[]=x&c[]=y&c[a][]=z", json!({"c": {"0": "x", "1": "y", "a": ["z"]}})),
            ("c[1]=x&c[0]=y", json!({"c": ["y", "x"]})),
            ("a=1&a[b]=2", json!({"a": {"b": "2"}})),
            ("[x]=1&y]=2&z[=3&q", json!({"[x]": "1", "y]": "2", "z[": "3", "q": ""})),
            ("a[1][2][3][4][5][6][7][8][9]=x", json!({})),
        ] {
            assert_eq!(Value::Object(read(form.as_bytes())), expected, "{form}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        let text = "a b&c=d+%41/Ж~";
        assert_eq!(encode(text), "a%20b%26c%3Dd%2B%2541%2F%D0%96~");
        assert_eq!(decode(encode(text).as_bytes()), text);
    }
}
