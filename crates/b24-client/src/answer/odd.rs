//! Reads a page that contains an unreadable event. All other events of the page are still read.
//!
//! Events are split only by their quotes and brackets, so an event may contain any error that leaves these in
//! place: `null`, a missing id, an id that is not an integer, a byte that is not UTF-8. Nothing is guessed.
//! The response without its events must be valid JSON, and the readable events must be in the order of their
//! ids; otherwise the whole page is refused.

use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::answer::scan::Scan;
use crate::answer::shapes::{Item, Items, Opened, WirePage, event_id};
use crate::event::{EventId, OddEvents};

/// Parses the response to a poll. `frame` is a buffer for a copy without the events.
///
/// # Errors
/// If it is not exactly one JSON object.
pub(crate) fn read_page<'a>(
    body: &'a [u8],
    frame: &'a mut Vec<u8>,
) -> Result<Opened<'a, WirePage>, serde_json::Error> {
    let whole = Opened::<WirePage>::parse(body);
    let is_usable =
        |answer: &Opened<'_, WirePage>| answer.error.is_some() || matches!(answer.result, Some(Ok(_)));
    if whole.as_ref().is_ok_and(is_usable) {
        return whole;
    }
    let Some(list) = Scan::of(body).events() else { return whole };
    *frame = [&body[..list.span.start], b"[]", &body[list.span.end..]].concat();
    let Ok(mut answer) = Opened::<WirePage>::parse(frame) else { return whole };
    let filled = match (&mut answer.result, answer.error) {
        (Some(Ok(page)), None) => fill(page, body, list.items),
        _ => None,
    };
    if filled.is_some() { Ok(answer) } else { whole }
}

/// Adds the events at `places` of `body` to `page`; `None` if the position of the unreadable events is
/// unclear.
fn fill(page: &mut WirePage, body: &[u8], places: Vec<Range<usize>>) -> Option<()> {
    let mut after: Option<EventId> = None;
    let mut odd: Option<OddEvents> = None;
    for place in places {
        let bytes = &body[place.clone()];
        let Some(item) = item(bytes) else {
            let reason = fault(&String::from_utf8_lossy(bytes))?;
            let first = odd.get_or_insert(OddEvents { after, before: None, count: 0, reason, place });
            first.count += 1;
            continue;
        };
        if after.is_some_and(|after| item.id <= after) {
            return None;
        }
        after = Some(item.id);
        page.odd.extend(odd.take().map(|odd| OddEvents { before: after, ..odd }));
        page.events.0.push(item);
    }
    page.odd.extend(odd);
    (!page.odd.is_empty()).then_some(())
}

fn item(bytes: &[u8]) -> Option<Item> {
    let list = [b"[", bytes, b"]"].concat();
    let items: Items = serde_json::from_str(std::str::from_utf8(&list).ok()?).ok()?;
    items.0.into_iter().next()
}

/// The error in an event, without its content. `None` if the text may be more than one event.
fn fault(event: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Bare<'a> {
        #[serde(borrow, default, rename = "eventId")]
        id: Option<&'a RawValue>,
    }
    if serde_json::from_str::<IgnoredAny>(event).is_err() {
        // A missing quote may have joined this event with the next ones.
        let is_one = event.matches("\"eventId\"").count() <= 1;
        return is_one.then(|| "an event is not valid JSON".to_owned());
    }
    if event.trim() == "null" {
        return Some("there is `null` in place of an event".to_owned());
    }
    if !event.trim_start().starts_with('{') {
        return Some("there is something else than an object in place of an event".to_owned());
    }
    Some(match serde_json::from_str::<Bare<'_>>(event).map(|bare| bare.id) {
        Err(_) => "an event has two ids".to_owned(),
        Ok(None) => "an event has no `eventId`".to_owned(),
        Ok(Some(id)) => match event_id(id) {
            Err(_) => "the `eventId` of an event is not a whole number above 0".to_owned(),
            Ok(id) if event.contains(char::REPLACEMENT_CHARACTER) => {
                format!("the event {id} is not valid UTF-8")
            }
            Ok(id) => format!("the event {id} has a key twice"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of the readable events, and each unreadable place: after, before, count, reason.
    type Read = (Vec<u64>, Vec<(Option<u64>, Option<u64>, usize, String)>);

    fn read(body: &[u8]) -> Option<Read> {
        let mut frame = Vec::new();
        let page = read_page(body, &mut frame).ok()?.result?.ok()?;
        let id = |id: Option<EventId>| id.map(EventId::get);
        let odd = page.odd.into_iter().map(|odd| (id(odd.after), id(odd.before), odd.count, odd.reason));
        Some((page.events.0.iter().map(|item| item.id.get()).collect(), odd.collect()))
    }

    fn page(events: &[u8]) -> Vec<u8> {
        [br#"{"result":{"nextOffset":9,"events":["#, events, br#"],"hasMore":true},"time":{"finish":1.5}}"#]
            .concat()
    }

    const ONE: &[u8] = br#"{"eventId":1,"type":"A","data":{"a":"[{\"eventId\":"}}"#;
    const NINE: &[u8] = br#"{"eventId":"9","data":[]}"#;

    #[test]
    fn an_odd_event_is_found_between_its_neighbours() {
        for (odd, reason) in [
            (&b"null"[..], "there is `null` in place of an event"),
            (b"7", "there is something else than an object in place of an event"),
            (b"[5]", "there is something else than an object in place of an event"),
            (b"{}", "an event has no `eventId`"),
            (b"{\"type\":\"A\",\"data\":{\"eventId\":5}}", "an event has no `eventId`"),
            (b"{\"eventId\":5.0}", "the `eventId` of an event is not a whole number above 0"),
            (b"{\"eventId\":\"five\"}", "the `eventId` of an event is not a whole number above 0"),
            (b"{\"eventId\":-5}", "the `eventId` of an event is not a whole number above 0"),
            (b"{\"eventId\":0}", "the `eventId` of an event is not a whole number above 0"),
            (b"{\"eventId\":null}", "an event has no `eventId`"),
            (b"{\"eventId\":true}", "the `eventId` of an event is not a whole number above 0"),
            (b"{\"eventId\":5,\"eventId\":6}", "an event has two ids"),
            (b"{\"eventId\":5,\"data\":1,\"data\":2}", "the event 5 has a key twice"),
            (b"{\"eventId\":5,\"data\":\"m\xd0\"}", "the event 5 is not valid UTF-8"),
            (b"{\"eventId\":5,\"data\":\"a\nb\"}", "an event is not valid JSON"),
            (b"{\"eventId\":5,\"data\":NaN}", "an event is not valid JSON"),
            (b"{\"eventId\":5,\"data\":\"\\x\"}", "an event is not valid JSON"),
            (b"{\"eventId\":5,\"data\":}", "an event is not valid JSON"),
        ] {
            let told = String::from_utf8_lossy(odd).into_owned();
            let found = read(&page(&[ONE, odd, NINE].join(&b',')));
            let expected = (vec![1, 9], vec![(Some(1), Some(9), 1, reason.to_owned())]);
            assert_eq!(found, Some(expected), "{told}");
        }
    }

    #[test]
    fn odd_events_side_by_side_are_counted_and_the_ends_of_a_page_have_no_neighbour() {
        let places = |events: &[&[u8]]| {
            let (ids, odd) = read(&page(&events.join(&b','))).unwrap();
            (ids, odd.into_iter().map(|(after, before, count, _)| (after, before, count)).collect::<Vec<_>>())
        };
        assert_eq!(
            places(&[b"null", ONE, b"{}", b"7", NINE]),
            (vec![1, 9], vec![(None, Some(1), 1), (Some(1), Some(9), 2),])
        );
        assert_eq!(places(&[ONE, NINE, b"null"]), (vec![1, 9], vec![(Some(9), None, 1)]));
        assert_eq!(places(&[b"null"]), (vec![], vec![(None, None, 1)]));
    }

    #[test]
    fn a_page_whose_order_or_structure_is_in_doubt_is_refused_as_a_whole() {
        let torn = br#"{"eventId":5,"data":"never ends},{"eventId":6,"data":"begins"#;
        for events in
            [[NINE, b"null", ONE].join(&b','), [ONE, torn, NINE].join(&b','), [ONE, b"null", ONE].join(&b',')]
        {
            assert_eq!(read(&page(&events)), None, "{}", String::from_utf8_lossy(&events));
        }
        for body in [
            "",
            "{",
            r#"{"result":{"events":[null"#,
            r#"{"result":{"events":[null]}"#,
            r#"{"result":[null]}"#,
        ] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
        let rest_is_odd = br#"{"result":{"events":[null],"hasMore":NaN}}"#;
        assert_eq!(read(rest_is_odd), None);
    }

    #[test]
    fn a_good_page_and_a_refusal_need_no_help() {
        assert_eq!(read(&page(&[ONE, NINE].join(&b','))), Some((vec![1, 9], vec![])));
        let mut frame = Vec::new();
        let refusal = read_page(br#"{"result":{"events":[null]},"error":"X"}"#, &mut frame).unwrap();
        assert_eq!(refusal.code().as_deref(), Some("X"));
    }
}
