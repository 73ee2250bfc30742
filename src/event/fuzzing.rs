//! Entry point for `fuzz/`: whatever a portal answers, its events are rendered without a change.

use std::sync::Arc;

use b24_client::PageEvent;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::{Event, Queue};

/// Checks the properties for `bytes` as the response to a poll. Returns the events if it is accepted.
///
/// # Panics
/// If a property does not hold.
pub fn answer(bytes: &[u8]) -> Vec<Event> {
    let queue = Arc::new(Queue::new("support", "portal.example/user/12"));
    let named =
        |PageEvent { id, kind, date, data }| Event { queue: Arc::clone(&queue), id, kind, date, data };
    let events: Vec<Event> = b24_client::fuzzing::answer(bytes).into_iter().map(named).collect();
    events.iter().for_each(assert_line_says_the_same);
    events
}

/// An event that is rendered and parsed again is the same, byte for byte, except for line breaks between its
/// tokens.
fn assert_line_says_the_same(event: &Event) {
    #[derive(Deserialize)]
    struct Line<'a> {
        id: &'a str,
        #[serde(rename = "type")]
        kind: String,
        #[serde(borrow)]
        date: &'a RawValue,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let mut bytes = Vec::new();
    event.write_line(&mut bytes);
    assert_eq!(bytes.iter().filter(|byte| matches!(**byte, b'\n' | b'\r')).count(), 1, "one line");
    let line: Line<'_> = serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)));
    assert_eq!((line.id, &line.kind), (event.queue.stable_id(event.id).as_str(), &event.kind));
    assert_eq!(line.date.get(), event.date.get().replace(['\n', '\r'], " "));
    assert_eq!(line.data.get(), event.data.get().replace(['\n', '\r'], " "));
    // The line contains the portal's own JSON of an event, so it can be parsed as such.
    let list = format!("[{}]", String::from_utf8_lossy(&bytes));
    let events = b24_client::fuzzing::events(list.as_bytes());
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [event.id]);
}

#[cfg(test)]
mod tests {
    use b24_testkit::fuzzing::hold_against_seeds;

    use super::*;

    #[test]
    fn whatever_a_portal_answers_is_rendered_as_promised() {
        hold_against_seeds("portal_answer", |bytes| drop(answer(bytes)));
    }
}
