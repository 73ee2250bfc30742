//! What is posted: events as the receiver wants them, and the id that it knows them by.
//!
//! Keeps I5: `data` is copied as the portal sent it into every format.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};

use crate::config::PayloadFormat;
use crate::event::Event;
use crate::sink::webhook::body::cloud_event;

/// The events of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload<'e> {
    /// One event alone.
    Single(&'e Event),
    /// Several events together, or a batch of one.
    Batch(&'e [&'e Event]),
}

/// The part of a request that depends on its events.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct EncodedBody {
    pub(crate) content_type: &'static str,
    /// In lower case, and only with characters that are valid in a header.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl EncodedBody {
    fn of_body(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { content_type, headers: Vec::new(), body }
    }
}

/// Renders the events in `format`. A single `CloudEvent` cannot hold several events, so these become a batch
/// of `CloudEvents`.
pub(crate) fn write(format: PayloadFormat, payload: Payload<'_>) -> EncodedBody {
    match (format, payload) {
        (PayloadFormat::Json, _) => {
            EncodedBody::of_body("application/json", body(payload, Event::write_json))
        }
        (PayloadFormat::Raw, _) => EncodedBody::of_body("application/json", body(payload, write_raw)),
        (PayloadFormat::CloudEvents, Payload::Single(_)) => {
            EncodedBody::of_body("application/cloudevents+json", body(payload, cloud_event::write_json))
        }
        (PayloadFormat::CloudEventsBinary, Payload::Single(event)) => EncodedBody {
            content_type: "application/json",
            headers: cloud_event::headers(event),
            body: event.data.get().as_bytes().to_vec(),
        },
        (PayloadFormat::CloudEventsBatch, Payload::Single(event)) => cloud_event_batch(&[event]),
        (
            PayloadFormat::CloudEvents | PayloadFormat::CloudEventsBinary | PayloadFormat::CloudEventsBatch,
            Payload::Batch(events),
        ) => cloud_event_batch(events),
    }
}

/// The id by which a receiver recognises duplicates: the stable id of a single event, or for a batch an id
/// that no batch of other events has. The two kinds never collide. The ids contain no dots, as Standard
/// Webhooks 1.0 requires.
pub(crate) fn message_id(payload: Payload<'_>) -> String {
    match payload {
        Payload::Single(event) => stable_id(event),
        Payload::Batch(events) => {
            let mut digest = Sha256::new();
            for event in events {
                digest.update(stable_id(event));
                digest.update("\n");
            }
            let mut tag = [0; 8];
            tag.copy_from_slice(&digest.finalize()[..8]);
            let prefix = events.first().map_or("b24_", |event| event.queue.stable_prefix());
            format!("{prefix}batch_{:016x}", u64::from_be_bytes(tag))
        }
    }
}

fn stable_id(event: &Event) -> String {
    event.queue.stable_id(event.id)
}

fn cloud_event_batch(events: &[&Event]) -> EncodedBody {
    let body = body(Payload::Batch(events), cloud_event::write_json);
    EncodedBody::of_body("application/cloudevents-batch+json", body)
}

/// One JSON object, or a list of objects.
fn body(payload: Payload<'_>, write: impl Fn(&Event, &mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    match payload {
        Payload::Single(event) => write(event, &mut body),
        Payload::Batch(events) => {
            body.push(b'[');
            for (at, event) in events.iter().enumerate() {
                if at > 0 {
                    body.push(b',');
                }
                write(event, &mut body);
            }
            body.push(b']');
        }
    }
    body
}

/// The event as in the portal's response (PORTAL.md 2.2).
fn write_raw(event: &Event, json: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail.
    let _infallible = write!(json, r#"{{"eventId":{},"type":"#, event.id);
    let _infallible = serde_json::to_writer(&mut *json, &event.kind);
    let _infallible = write!(json, r#","date":{},"data":{}}}"#, event.date.get(), event.data.get());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;
    use crate::event::{EventId, Queue};

    const FORMATS: [PayloadFormat; 5] = [
        PayloadFormat::Json,
        PayloadFormat::Raw,
        PayloadFormat::CloudEvents,
        PayloadFormat::CloudEventsBinary,
        PayloadFormat::CloudEventsBatch,
    ];

    fn event(id: u64, data: &str) -> Event {
        Event {
            queue: Arc::new(Queue::new("support", "example.bitrix24.com/user/12")),
            id: EventId::try_new(id).unwrap(),
            kind: "ONIMV2MESSAGEADD".into(),
            date: RawValue::from_string(r#""2025-01-15T10:30:00+02:00""#.into()).unwrap(),
            data: RawValue::from_string(data.into()).unwrap(),
        }
    }

    fn text(encoded: &EncodedBody) -> &str {
        str::from_utf8(&encoded.body).unwrap()
    }

    #[test]
    fn raw_is_the_portals_event() {
        let event = event(7, r#"{"a": 1.50}"#);
        let encoded = write(PayloadFormat::Raw, Payload::Single(&event));
        let expected = r#"{"eventId":7,"type":"ONIMV2MESSAGEADD","date":"2025-01-15T10:30:00+02:00","data":{"a": 1.50}}"#;
        assert_eq!(
            (encoded.content_type, text(&encoded), encoded.headers.len()),
            ("application/json", expected, 0)
        );
    }

    #[test]
    fn a_batch_is_a_list_also_of_one() {
        let (one, other) = (event(1, "{}"), event(2, "{}"));
        for format in FORMATS {
            for events in [&[&one][..], &[&one, &other]] {
                let list: Vec<Value> =
                    serde_json::from_slice(&write(format, Payload::Batch(events)).body).unwrap();
                assert_eq!(list.len(), events.len());
            }
            let single: Value = serde_json::from_slice(&write(format, Payload::Single(&one)).body).unwrap();
            assert_eq!(single.is_array(), format == PayloadFormat::CloudEventsBatch, "{format:?}");
        }
    }

    #[test]
    fn what_a_single_cloud_event_cannot_hold_becomes_a_batch_of_them() {
        let (one, other) = (event(1, "{}"), event(2, "{}"));
        for format in FORMATS.into_iter().filter(|format| !format.holds_batches()) {
            let encoded = write(format, Payload::Batch(&[&one, &other]));
            assert_eq!(encoded, write(PayloadFormat::CloudEventsBatch, Payload::Batch(&[&one, &other])));
            assert_eq!(encoded.content_type, "application/cloudevents-batch+json");
        }
    }

    #[test]
    fn batches_of_other_events_never_share_an_id_and_the_same_batch_always_has_the_same() {
        let events: Vec<Event> = (1..=12).map(|id| event(id, "{}")).collect();
        let events: Vec<&Event> = events.iter().collect();
        let mut ids = HashSet::new();
        for from in 0..events.len() {
            for to in from + 1..=events.len() {
                let id = message_id(Payload::Batch(&events[from..to]));
                assert_eq!(id, message_id(Payload::Batch(&events[from..to])));
                assert!(ids.insert(id.clone()), "{id} for two batches");
                let tag = id.strip_prefix("b24_2ab78abe6f51bf86_batch_").unwrap();
                assert!(tag.len() == 16 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
            }
            assert_eq!(
                message_id(Payload::Single(events[from])),
                format!("b24_2ab78abe6f51bf86_{}", from + 1)
            );
        }
    }

    /// JSON texts with unusual but valid content.
    fn json() -> impl Strategy<Value = String> {
        let space = || prop::sample::select(vec!["", " ", "\n", "\r\n\t"]);
        let leaf = prop_oneof![
            prop::sample::select(vec![
                "1.50",
                "-0",
                "1e400",
                "12345678901234567890123",
                "null",
                "true",
                "[]",
                "{}",
                r#""\u0041\/""#,
                r#""\ud83d\ude00\r\n""#,
                "\"\u{1f600}\u{2028} </b>\"",
                r#""\"data\":1""#,
            ])
            .prop_map(str::to_owned),
            any::<String>().prop_map(|text| Value::from(text).to_string()),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            let entry = (any::<String>(), space(), inner.clone(), space());
            let entry = entry.prop_map(|(key, before, value, behind)| {
                format!("{}{before}:{behind}{value}{before}", Value::from(key))
            });
            let list = prop::collection::vec(inner, 0..4);
            prop_oneof![
                (list, space()).prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(","))),
                (prop::collection::vec(entry, 0..4), space()).prop_map(|(entries, space)| format!(
                    "{{{space}{}}}",
                    entries.join(&format!(",{space}"))
                )),
            ]
        })
    }

    #[derive(serde::Deserialize)]
    struct Parsed {
        data: Box<RawValue>,
    }

    proptest! {
        #[test]
        fn data_passes_untouched_through_every_format(one in json(), other in json()) {
            let events = [event(1, &one), event(2, &other)];
            let both = [&events[0], &events[1]];
            for format in FORMATS {
                let list: Vec<Parsed> =
                    serde_json::from_slice(&write(format, Payload::Batch(&both)).body).unwrap();
                prop_assert_eq!(list[0].data.get(), &one);
                prop_assert_eq!(list[1].data.get(), &other);
                let encoded = write(format, Payload::Single(&events[0]));
                let data = match format {
                    PayloadFormat::CloudEventsBinary => text(&encoded).to_owned(),
                    PayloadFormat::CloudEventsBatch => {
                        let list: Vec<Parsed> = serde_json::from_slice(&encoded.body).unwrap();
                        list[0].data.get().to_owned()
                    }
                    _ => serde_json::from_slice::<Parsed>(&encoded.body).unwrap().data.get().to_owned(),
                };
                prop_assert_eq!(data, &*one);
            }
        }
    }
}
