//! The `result` of a batch: what came of its calls, sorted into five arrays (PORTAL.md 8).

use crate::rest::batch::Part;
use crate::rest::method::Outcome;
use crate::wire::envelope;
use crate::wire::php_json;

/// Appends `{"result":...,"result_error":...,"result_total":...,"result_next":...,"result_time":...}`.
pub fn write(json: &mut Vec<u8>, parts: &[Part]) {
    let (mut results, mut errors, mut times) = (Array::default(), Array::default(), Array::default());
    let (mut totals, mut nexts) = (Array::default(), Array::default());
    for (key, part) in parts {
        if let Ok(Outcome::List(list)) = &part.outcome {
            totals.push_number(key, Some(list.total));
            nexts.push_number(key, list.next);
        }
        match &part.outcome {
            Ok(outcome) => {
                results.push(key, |json| envelope::write_outcome(json, outcome, &part.switches));
                times.push(key, |json| envelope::write_time(json, part));
            }
            Err(refusal) => errors.push(key, |json| {
                json.extend_from_slice(php_json::render(&refusal.body).as_bytes());
            }),
        }
    }
    for (name, array) in [
        ("{\"result\":", results),
        (",\"result_error\":", errors),
        (",\"result_total\":", totals),
        (",\"result_next\":", nexts),
        (",\"result_time\":", times),
    ] {
        json.extend_from_slice(name.as_bytes());
        array.write(json);
    }
    json.push(b'}');
}

/// A PHP array: with the keys 0, 1, 2 and so on it is a list on the wire, an empty one included.
#[derive(Default)]
struct Array(Vec<(String, Vec<u8>)>);

impl Array {
    fn push(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut value = Vec::new();
        write(&mut value);
        self.0.push((key.to_owned(), value));
    }

    fn push_number(&mut self, key: &str, number: Option<usize>) {
        self.0.extend(number.map(|number| (key.to_owned(), number.to_string().into_bytes())));
    }

    fn write(&self, json: &mut Vec<u8>) {
        let is_list = self.0.iter().enumerate().all(|(index, (key, _))| *key == index.to_string());
        json.push(if is_list { b'[' } else { b'{' });
        for (index, (key, value)) in self.0.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            if !is_list {
                json.extend_from_slice(php_json::render(key).as_bytes());
                json.push(b':');
            }
            json.extend_from_slice(value);
        }
        json.push(if is_list { b']' } else { b'}' });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(keys: &[&str]) -> String {
        let mut array = Array::default();
        for key in keys {
            array.push(key, |json| json.extend_from_slice(b"1"));
        }
        let mut json = Vec::new();
        array.write(&mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn keys_that_count_from_zero_make_a_list() {
        assert_eq!(written(&[]), "[]");
        assert_eq!(written(&["0", "1"]), "[1,1]");
        assert_eq!(written(&["1", "0"]), r#"{"1":1,"0":1}"#);
        assert_eq!(written(&["1"]), r#"{"1":1}"#);
        assert_eq!(written(&["b", "a"]), r#"{"b":1,"a":1}"#);
    }
}
