//! The JSON of responses, and the deviations that are accepted in it (PORTAL.md section 8).
//!
//! Parsing is lenient where portals are known to differ, and strict where an error could corrupt an offset.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::{EventId, OddEvents};

/// Any response. An `error` key makes it a refusal, whatever its value and the other keys are.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Envelope<'a, T> {
    #[serde(default, deserialize_with = "present")]
    pub result: Option<T>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub error_description: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub time: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    pub sessid: Option<IgnoredAny>,
}

/// A response, with its result or the reason why the result is not a `T`.
pub(crate) type Opened<'a, T> = Envelope<'a, Result<T, serde_json::Error>>;

impl<'a, T: DeserializeOwned> Opened<'a, T> {
    /// Parses a response. Byte order marks and white space around it are accepted.
    ///
    /// A page has megabytes, so a result of the right shape is parsed only once. Any other result is parsed
    /// again, for the keys around it.
    ///
    /// # Errors
    /// If it is not exactly one JSON object.
    pub fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        let body = without_marks(body);
        if !body.starts_with(b"{") {
            // The derived code would take a list for the values of the keys, in their order.
            return Err(de::Error::custom("not an object"));
        }
        // One check of the whole response is much faster than a check of each string.
        let body = simdutf8::basic::from_utf8(body).map_err(de::Error::custom)?;
        match serde_json::from_str::<Envelope<'a, T>>(body) {
            Ok(envelope) => Ok(envelope.map(Ok)),
            Err(unfit) => serde_json::from_str::<Envelope<'a, &RawValue>>(body)
                .map(|envelope| envelope.map(|_| Err(unfit))),
        }
    }
}

impl<'a, T> Envelope<'a, T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Envelope<'a, U> {
        let Self { result, error, error_description, time, sessid } = self;
        Envelope { result: result.map(change), error, error_description, time, sessid }
    }

    /// The error code as text: a string as it is, the `code` of an object, or other JSON as written.
    pub fn code(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Object {
            code: serde_json::Value,
        }
        let raw = self.error?.get();
        let code = serde_json::from_str::<Object>(raw).map(|object| object.code);
        Some(text(&code.map_or_else(|_| raw.to_owned(), |code| code.to_string())))
    }

    /// `error_description`, or the `message` of an error object, or an empty text.
    pub fn description(&self) -> String {
        #[derive(Deserialize)]
        struct Object {
            message: String,
        }
        match (self.error_description, self.error) {
            (Some(raw), _) => text(raw.get()),
            (None, Some(raw)) => {
                serde_json::from_str(raw.get()).map_or(String::new(), |object: Object| object.message)
            }
            (None, None) => String::new(),
        }
    }

    /// The seconds of operating time that this method has used, and the time until the oldest of them expire
    /// (PORTAL.md section 7).
    pub fn operating(&self) -> Option<(f64, Duration)> {
        #[derive(Deserialize)]
        struct Time {
            finish: f64,
            operating: f64,
            operating_reset_at: f64,
        }
        // An unexpected value in `time` counts as missing and is never an error.
        let time: Time = serde_json::from_str(self.time?.get()).ok()?;
        let reset_in = Duration::try_from_secs_f64(time.operating_reset_at - time.finish).ok()?;
        Some((time.operating, reset_in))
    }

    /// The portal's clock at the end of the call, in Unix milliseconds.
    pub fn finished_ms(&self) -> Option<i64> {
        #[derive(Deserialize)]
        struct Time<'a> {
            #[serde(borrow)]
            finish: &'a RawValue,
        }
        let time: Time<'_> = serde_json::from_str(self.time?.get()).ok()?;
        let seconds: f64 = time.finish.get().trim_matches('"').parse().ok()?;
        SignedDuration::try_from_secs_f64(seconds).ok()?.as_millis().try_into().ok()
    }
}

/// Removes the byte order marks. Each of the portal's PHP files prints one if it was saved with one.
fn without_marks(body: &[u8]) -> &[u8] {
    let body = body.trim_ascii_start();
    body.strip_prefix(b"\xEF\xBB\xBF").map_or(body, without_marks)
}

/// The content of a JSON string, or other JSON as written.
fn text(raw: &str) -> String {
    serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())
}

/// `Some` if the key is present, even if it is `null`.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// `result` of `im.v2.Event.get`: one page of the queue.
///
/// `nextOffset` is not used: the ids of the events are more precise, and cannot be ahead of the returned
/// events.
#[derive(Deserialize)]
pub(crate) struct WirePage {
    pub events: Items,
    #[serde(default, rename = "hasMore", deserialize_with = "lenient_bool")]
    pub has_more: Option<bool>,
    /// The unreadable events of the page, in order; see `odd`.
    #[serde(skip)]
    pub odd: Vec<OddEvents>,
}

/// `events`: a list. PHP writes a list as an object if its keys have holes, and an empty list as `{}`.
pub(crate) struct Items(pub Vec<Item>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of events")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items, A::Error> {
                let mut items = Vec::new();
                while let Some(AsObject(item)) = list.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Items, A::Error> {
                let (mut items, mut last) = (Vec::new(), None);
                while let Some((key, AsObject(item))) = map.next_entry::<String, _>()? {
                    let place: Option<u64> = key.parse().ok();
                    // With other keys, or in another order, it is not a list with holes.
                    if place <= last {
                        return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
                    }
                    last = place;
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_any(ItemsVisitor)
    }
}

/// One event as sent. `data` and `date` keep the portal's bytes.
#[derive(Deserialize)]
pub struct Item {
    #[serde(rename = "eventId", deserialize_with = "event_id")]
    pub id: EventId,
    /// A value that is not a string counts as missing.
    #[serde(default, rename = "type", deserialize_with = "lenient_string")]
    pub kind: String,
    #[serde(default = "null")]
    pub date: Box<RawValue>,
    #[serde(default = "null")]
    pub data: Box<RawValue>,
}

/// An event that must be a JSON object. The derived code would accept a list as the values of its keys, in
/// their order.
struct AsObject(Item);

impl<'de> Deserialize<'de> for AsObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = AsObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AsObject, A::Error> {
                Item::deserialize(MapAccessDeserializer::new(map)).map(AsObject)
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

fn lenient_string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let raw = <&'de RawValue>::deserialize(deserializer)?.get();
    Ok(serde_json::from_str(raw).unwrap_or_default())
}

/// An integer, or a string of digits.
pub(crate) fn event_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventId, D::Error> {
    struct IdVisitor;
    impl Visitor<'_> for IdVisitor {
        type Value = EventId;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an event id: a whole number above 0")
        }
        fn visit_u64<E: de::Error>(self, id: u64) -> Result<EventId, E> {
            EventId::try_new(id).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(id), &self))
        }
        fn visit_str<E: de::Error>(self, id: &str) -> Result<EventId, E> {
            let digits = id.bytes().all(|byte| byte.is_ascii_digit());
            let id = digits.then(|| id.parse().ok()).flatten();
            id.and_then(EventId::try_new)
                .ok_or_else(|| E::invalid_type(de::Unexpected::Str("other text"), &self))
        }
    }
    deserializer.deserialize_any(IdVisitor)
}

/// `true` or `false`, in one of the spellings that portals use. Other values count as missing.
fn lenient_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let raw = <&'de RawValue>::deserialize(deserializer)?.get();
    Ok(match raw.trim_matches('"') {
        "true" | "1" | "Y" => Some(true),
        "false" | "0" | "N" => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> Option<String> {
        Opened::<IgnoredAny>::parse(body.as_bytes()).unwrap().code()
    }

    #[test]
    fn the_error_key_alone_makes_a_refusal() {
        for (body, expected) in [
            (r#"{"error":"expired_token"}"#, "expired_token"),
            (r#"{"result":{},"error":""}"#, ""),
            (r#"{"error":"0"}"#, "0"),
            (r#"{"error":0}"#, "0"),
            (r#"{"error":null}"#, "null"),
            (r#"{"error":{"code":"X","message":"m"}}"#, "X"),
            (r#"{"error":{"code":7}}"#, "7"),
        ] {
            assert_eq!(code(body).as_deref(), Some(expected), "{body}");
        }
        for before in ["\u{feff} \n", " \u{feff}\u{feff}\n\u{feff}"] {
            assert_eq!(code(&format!("{before}{{\"result\":null}} ")), None);
        }
    }

    #[test]
    fn what_is_not_one_whole_object_is_refused() {
        for body in ["", "[]", "[1,2,3,4,5]", "null", "<html>", r#"{"result":1"#, r#"{"result":1}x"#, "\"a\""]
        {
            assert!(Opened::<IgnoredAny>::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_result_of_another_shape_hides_nothing_around_it() {
        let open = |body: &'static str| Opened::<WirePage>::parse(body.as_bytes()).unwrap();
        for body in [r#"{"result":{"events":7},"error":"X"}"#, r#"{"error":"X","result":null}"#] {
            assert_eq!(open(body).code().as_deref(), Some("X"), "{body}");
        }
        for body in [r#"{"result":{"events":7}}"#, r#"{"result":null}"#, r#"{"result":[]}"#] {
            assert!(open(body).result.unwrap().is_err(), "{body}");
        }
        assert!(open(r#"{"time":{}}"#).result.is_none());
    }

    #[test]
    fn pages_are_read_leniently_but_ids_are_not() {
        let page = |text: &str| {
            serde_json::from_str::<WirePage>(text).map(|page| (page.events.0.len(), page.has_more))
        };
        assert_eq!(page(r#"{"events":[],"nextOffset":null,"hasMore":false}"#).unwrap(), (0, Some(false)));
        assert_eq!(page(r#"{"events":{},"hasMore":null}"#).unwrap(), (0, None));
        assert_eq!(page(r#"{"events":{ },"hasMore":"Y"}"#).unwrap(), (0, Some(true)));
        assert_eq!(page(r#"{"events":[{"eventId":"9007199254740993","data":[]}]}"#).unwrap(), (1, None));
        for id in ["0", "-1", "1.5", "\"\"", "\"-1\"", "\"1e3\"", "null", "true", "[]", "9223372036854775807"]
        {
            assert!(page(&format!(r#"{{"events":[{{"eventId":{id}}}]}}"#)).is_err(), "{id}");
        }
        assert!(page(r#"{"events":[{"type":"A"}]}"#).is_err());
        assert!(page(r#"{"events":null}"#).is_err());
        // A list of events without the second element.
        assert_eq!(page(r#"{"events":{"0":{"eventId":1},"2":{"eventId":3}}}"#).unwrap(), (2, None));
        for object in
            [r#"{"a":{"eventId":1}}"#, r#"{"2":{"eventId":1},"0":{"eventId":3}}"#, r#"{"":{"eventId":1}}"#]
        {
            assert!(page(&format!(r#"{{"events":{object}}}"#)).is_err(), "{object}");
        }
        assert!(page(r#"{"events":[[5]]}"#).is_err(), "a list is no event");
        assert!(page("{}").is_err());
    }
}
