//! Tests of events, and an event for the tests of all modules.

use super::*;

/// Event 1 of the source `support`, which reads the queue of user 12, of this type and with this JSON in `data`.
pub(crate) fn event(kind: &str, data: &str) -> Event {
    Event {
        queue: Arc::new(Queue::new("support", "example.bitrix24.com/user/12")),
        id: EventId::try_new(1).unwrap(),
        kind: kind.into(),
        date: RawValue::NULL.to_owned(),
        data: RawValue::from_string(data.to_owned()).unwrap(),
    }
}

fn dated(data: &str) -> Event {
    Event {
        id: EventId::try_new(2001).unwrap(),
        date: RawValue::from_string(r#""2025-01-15T10:30:00+02:00""#.into()).unwrap(),
        ..event("ONIMV2MESSAGEADD", data)
    }
}

#[test]
fn a_line_holds_the_portals_bytes() {
    let mut line = Vec::new();
    dated(r#"{"a": 1.50, "b":"\u0041\/"}"#).write_line(&mut line);
    let line = String::from_utf8(line).unwrap();
    assert!(line.ends_with("\"data\":{\"a\": 1.50, \"b\":\"\\u0041\\/\"}}\n"), "{line}");
    assert!(line.starts_with(r#"{"id":"b24_"#), "{line}");
}

#[test]
fn around_the_data_nothing_ends_a_line_and_the_data_is_left_alone() {
    const BREAKS: &str = "\u{85}\u{2028}\u{2029}\u{202e}";
    let event = Event {
        queue: Arc::new(Queue::new(BREAKS, BREAKS)),
        kind: BREAKS.into(),
        date: RawValue::from_string(format!("\"{BREAKS}\"")).unwrap(),
        ..dated(&format!("\"{BREAKS}\""))
    };
    let mut line = Vec::new();
    event.write_line(&mut line);
    let line = String::from_utf8(line).unwrap();
    let data = format!("\"data\":\"{BREAKS}\"}}\n");
    assert!(line.strip_suffix(&data).is_some_and(str::is_ascii), "{line}");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    for key in ["source", "type", "date", "data"] {
        assert_eq!(line[key], BREAKS, "{key}");
    }
}

#[test]
fn a_payload_spread_over_lines_stays_one_line() {
    let mut line = Vec::new();
    dated("{\n\"a\":\r\n1}").write_line(&mut line);
    assert_eq!(String::from_utf8(line.clone()).unwrap().lines().count(), 1);
    assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
}

#[test]
fn the_stable_id_never_changes() {
    // Receivers store these ids: after a change here, every event would be a duplicate for them.
    assert_eq!(dated("{}").queue.stable_id(EventId::try_new(7).unwrap()), "b24_2ab78abe6f51bf86_7");
}

#[test]
fn an_offset_wants_what_is_at_or_behind_it() {
    let id = EventId::try_new(5).unwrap();
    assert!(Offset::try_new(5).unwrap().wants(id));
    assert!(!id.next().wants(id));
    assert_eq!(EventId::try_new(0), None);
    assert_eq!(EventId::try_new(u64::MAX), None);
}
