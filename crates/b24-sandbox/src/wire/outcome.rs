//! Renders the outcome of a call as JSON: `result` and `time`. For a batch, those of its calls are sorted
//! into five arrays (PORTAL.md 8).

use std::io::Write as _;

use jiff::Timestamp;
use serde_json::Value;

use crate::rest::outcome::OperatingTime;
use crate::rest::outcome::{ExecutedCall, Listing, Outcome, Part};
use crate::state::clock::iso;
use crate::state::switches::Switches;
use crate::wire::page;
use crate::wire::php_json;

/// Appends the value of `result`.
pub(crate) fn write_outcome(body: &mut Vec<u8>, outcome: &Outcome, switches: &Switches) {
    match outcome {
        Outcome::Page(page) => page::write(body, page, switches),
        Outcome::List(Listing { rows: value, .. }) | Outcome::Value(value) => {
            body.extend_from_slice(php_json::render(value).as_bytes());
        }
        Outcome::Written(json) => body.extend_from_slice(json.as_bytes()),
        Outcome::Batch(parts) => write_batch(body, parts),
    }
}

/// The value of `result`, parsed like a client would parse it.
pub(crate) fn result(outcome: &Outcome, switches: &Switches) -> Value {
    let mut body = Vec::new();
    write_outcome(&mut body, outcome, switches);
    serde_json::from_slice(&body).unwrap_or_default()
}

/// Appends `time`. Current builds truncate `start`, so `duration` is off by up to a second (PORTAL.md 8).
pub(crate) fn write_time(body: &mut Vec<u8>, executed: &ExecutedCall) {
    let switches = executed.switches;
    let quote = if switches.time_as_strings { "\"" } else { "" };
    let (started, finished) = (executed.started, executed.finished);
    let finish = float(finished);
    let (start, duration, processing) = if switches.float_time {
        let operating_time = finished.duration_since(started).as_secs_f64();
        (format!("{:?}", float(started)), operating_time, format!("{operating_time:?}"))
    } else {
        let second = started.as_second();
        let whole = Timestamp::from_second(second).unwrap_or(started);
        (second.to_string(), finished.duration_since(whole).as_secs_f64(), "0".into())
    };
    let (date_start, date_finish) = (iso(started.as_second()), iso(finished.as_second()));
    // Writing to a `Vec` cannot fail.
    let _infallible = write!(
        body,
        r#"{{"start":{quote}{start}{quote},"finish":{quote}{finish:?}{quote},"duration":{quote}{duration:?}{quote},"processing":{quote}{processing}{quote},"date_start":"{date_start}","date_finish":"{date_finish}""#,
    );
    if switches.operating {
        let OperatingTime { operating_s, reset_at_s } = executed.operating_time;
        // PHP writes a sum of floats as a float, and an empty sum as an integer.
        let operating = if operating_s > 0.0 { format!("{operating_s:?}") } else { "0".into() };
        let _infallible = write!(
            body,
            r#","operating_reset_at":{quote}{reset_at_s}{quote},"operating":{quote}{operating}{quote}"#
        );
    }
    body.push(b'}');
}

fn float(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// Appends `{"result":...,"result_error":...,"result_total":...,"result_next":...,"result_time":...}`.
fn write_batch(json: &mut Vec<u8>, parts: &[Part]) {
    let (mut results, mut errors, mut times) = (Array::default(), Array::default(), Array::default());
    let (mut totals, mut nexts) = (Array::default(), Array::default());
    for (key, part) in parts {
        if let Ok(Outcome::List(list)) = &part.outcome {
            totals.push_number(key, Some(list.total));
            nexts.push_number(key, list.next);
        }
        match &part.outcome {
            Ok(outcome) => {
                results.push(key, |json| write_outcome(json, outcome, &part.switches));
                times.push(key, |json| write_time(json, part));
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

/// A PHP array. With the keys 0, 1, 2 and so on, or without keys, it becomes a JSON list.
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
