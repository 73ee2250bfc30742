//! An event as a `CloudEvent` 1.0.2: its attributes, as JSON and as HTTP headers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;

use b24_client::foreign_text::visible_json;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::Event;

/// The prefix that a header's name has in addition to the attribute's name.
const HEADER_PREFIX: &str = "ce-";

/// Longer than any dialog id; a longer text is not suitable for a header.
const SUBJECT_MAX: usize = 256;

/// The characters that a header's value must encode as `%XX` (HTTP binding 1.0.2, 3.1.3.2), in addition to
/// all that are not ASCII.
const HEADER_ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The characters that are invalid in a URI (RFC 3986), in addition to all that are not ASCII.
const URI_ESCAPED: &AsciiSet =
    &HEADER_ESCAPED.add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// Appends the event in structured mode, without a newline.
pub(crate) fn write_json(event: &Event, json: &mut Vec<u8>) {
    json.push(b'{');
    for (name, value) in attributes(event) {
        let name = name.trim_start_matches(HEADER_PREFIX);
        let value = Value::from(value).to_string();
        // Writing to a `Vec` cannot fail.
        let _infallible = write!(json, r#""{name}":{},"#, visible_json(&value));
    }
    let _infallible = write!(json, r#""datacontenttype":"application/json","data":{}}}"#, event.data.get());
}

/// The headers of binary mode, in which `datacontenttype` is the content type.
pub(crate) fn headers(event: &Event) -> Vec<(&'static str, String)> {
    let encoded = |value: String| utf8_percent_encode(&value, HEADER_ESCAPED).to_string();
    attributes(event).into_iter().map(|(name, value)| (name, encoded(value))).collect()
}

/// All attributes except `datacontenttype`, by the names of their headers.
fn attributes(event: &Event) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", event.queue.stable_id(event.id)),
        ("ce-source", source(&event.queue.identity)),
        ("ce-type", kind(&event.kind)),
    ];
    attributes.extend(time(&event.date).map(|time| ("ce-time", time)));
    attributes.extend(subject(&event.data).map(|subject| ("ce-subject", subject)));
    attributes.push(("ce-b24source", event.queue.source.to_string()));
    // A text, because CloudEvents have no 64-bit integers.
    attributes.push(("ce-b24eventid", event.id.to_string()));
    attributes
}

/// The queue, as an absolute URI.
fn source(identity: &str) -> String {
    format!("https://{}", utf8_percent_encode(identity, URI_ESCAPED))
}

fn kind(kind: &str) -> String {
    let kind = if kind.is_empty() { "UNKNOWN" } else { kind };
    let allowed = kind.chars().map(|encoded| if is_allowed(encoded) { encoded } else { '\u{fffd}' });
    format!("com.bitrix24.{}", allowed.collect::<String>())
}

/// RFC 3339 with the portal's own offset from UTC; `None` if the date is unreadable.
fn time(date: &RawValue) -> Option<String> {
    let text: &str = serde_json::from_str(date.get()).ok()?;
    let time: Timestamp = text.parse().ok()?;
    let offset = DateTimeParser::new().parse_pieces(text).ok()?.to_numeric_offset()?;
    let spelled = time.display_with_offset(offset).to_string();
    // Years with more or fewer than four digits are written with a sign.
    spelled.starts_with(|first: char| first.is_ascii_digit()).then_some(spelled)
}

/// The dialog id of the event or of its chat (PORTAL.md 2.6).
fn subject(data: &RawValue) -> Option<String> {
    let data = entries(data)?;
    let own = data.get("dialogId").and_then(|id| dialog_id(id));
    let subject = own.or_else(|| dialog_id(entries(data.get("chat")?)?.get("dialogId")?))?;
    let is_sound = !subject.is_empty() && subject.len() <= SUBJECT_MAX && subject.chars().all(is_allowed);
    is_sound.then_some(subject)
}

fn entries(json: &RawValue) -> Option<HashMap<Cow<'_, str>, &RawValue>> {
    serde_json::from_str(json.get()).ok()
}

fn dialog_id(json: &RawValue) -> Option<String> {
    match serde_json::from_str(json.get()).ok()? {
        Value::String(id) => Some(id),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// True for characters that are allowed in a `CloudEvent`: no control characters and no Unicode
/// noncharacters.
fn is_allowed(encoded: char) -> bool {
    let code = u32::from(encoded);
    !encoded.is_control() && code & 0xfffe != 0xfffe && !(0xfdd0..=0xfdef).contains(&code)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{EventId, Queue};

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn event(kind: &str, date: &str, payload: &str) -> Event {
        Event {
            queue: Arc::new(Queue::new("support", "example.bitrix24.com/user/12")),
            id: EventId::try_new(2001).unwrap(),
            kind: kind.into(),
            date: raw(date),
            data: raw(payload),
        }
    }

    #[test]
    fn an_event_has_the_attributes_that_tell_where_it_is_from_and_what_it_is() {
        let event = event(
            "ONIMV2MESSAGEADD",
            r#""2025-01-15T10:30:00+02:00""#,
            r#"{"chat": {"dialogId": "chat318"}}"#,
        );
        let mut json = Vec::new();
        write_json(&event, &mut json);
        assert_eq!(
            String::from_utf8(json).unwrap(),
            concat!(
                r#"{"specversion":"1.0","id":"b24_2ab78abe6f51bf86_2001","#,
                r#""source":"https://example.bitrix24.com/user/12","type":"com.bitrix24.ONIMV2MESSAGEADD","#,
                r#""time":"2025-01-15T10:30:00+02:00","subject":"chat318","b24source":"support","#,
                r#""b24eventid":"2001","datacontenttype":"application/json","#,
                r#""data":{"chat": {"dialogId": "chat318"}}}"#
            )
        );
    }

    #[test]
    fn a_date_becomes_rfc_3339_or_is_left_out() {
        for (date, expected) in [
            (r#""2025-01-15T10:30:00+02:00""#, Some("2025-01-15T10:30:00+02:00")),
            (r#""2025-01-15 10:30:00.5-0330""#, Some("2025-01-15T10:30:00.5-03:30")),
            (r#""2025-01-15T10:30:00z""#, Some("2025-01-15T10:30:00Z")),
            (r#""2025-01-15T10:30:00""#, None),
            (r#""-002025-01-15T10:30:00Z""#, None),
            (r#""yesterday""#, None),
            ("1736929800", None),
            ("null", None),
        ] {
            let spelled = time(&raw(date));
            // Both forms of UTC are valid in RFC 3339.
            assert_eq!(spelled.map(|time| time.replace("+00:00", "Z")).as_deref(), expected, "{date}");
        }
    }

    #[test]
    fn the_subject_is_the_dialog_when_there_is_one() {
        for (data, expected) in [
            (r#"{"dialogId":"chat1","chat":{"dialogId":"chat2"}}"#, Some("chat1")),
            (r#"{"chat":{"id":5,"dialogId":"chat2"}}"#, Some("chat2")),
            (r#"{"chat":{"dialogId":17}}"#, Some("17")),
            (r#"{"dialogId":[],"chat":{"dialogId":"chat2"}}"#, Some("chat2")),
            (r#"{"dialogId":"\u0447\u0430\u0442 5"}"#, Some("чат 5")),
            (r#"{"dialogId":""}"#, None),
            (r#"{"dialogId":"a\u0007"}"#, None),
            (r#"{"dialogId":"\ufdd0"}"#, None),
            (r#"{"chat":[]}"#, None),
            (r#"["chat1"]"#, None),
            ("[]", None),
            ("null", None),
        ] {
            assert_eq!(subject(&raw(data)).as_deref(), expected, "{data}");
        }
        let long = format!(r#"{{"dialogId":"{}"}}"#, "x".repeat(SUBJECT_MAX + 1));
        assert_eq!(subject(&raw(&long)), None);
    }

    #[test]
    fn headers_are_percent_encoded_as_the_binding_demands() {
        let headers = headers(&event("Euro € 😀", "null", r#"{"dialogId":"50% \"чат\"~!#[]"}"#));
        let value = |name: &str| headers.iter().find(|(other, _)| *other == name).unwrap().1.as_str();
        assert_eq!(value("ce-type"), "com.bitrix24.Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(value("ce-subject"), "50%25%20%22%D1%87%D0%B0%D1%82%22~!#[]");
        assert!(headers.iter().all(|(name, _)| *name != "ce-datacontenttype" && *name != "ce-time"));
    }

    #[test]
    fn a_type_is_never_empty_and_holds_no_control_characters() {
        assert_eq!(kind(""), "com.bitrix24.UNKNOWN");
        assert_eq!(kind("A\nB\u{85}C\u{ffff}"), "com.bitrix24.A\u{fffd}B\u{fffd}C\u{fffd}");
    }

    #[test]
    fn a_source_is_a_uri_whatever_the_queue_is_called() {
        assert_eq!(source("[::1]:8080/bot/5"), "https://[::1]:8080/bot/5");
        assert_eq!(source("портал/a b%<>"), "https://%D0%BF%D0%BE%D1%80%D1%82%D0%B0%D0%BB/a%20b%25%3C%3E");
    }
}
