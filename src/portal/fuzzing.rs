//! Entry points for `fuzz/`: properties that hold for every response of a portal, or of another server in its
//! place.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::{PortalConfig, SecretUrl, WebhookUrl};
use crate::event::{Event, Offset, Queue};
use crate::fuzzing::{Answer, MARK, assert_hides_the_mark};
use crate::portal::answer::odd::read_page;
use crate::portal::answer::shapes::{Items, Page};
use crate::portal::client::{Credential, Dated, PortalClient};
use crate::portal::key_value::KeyValue;
use crate::portal::methods::queue;
use crate::portal::portal_state::PortalState;
use crate::portal::refusal::CallError;

const METHOD: &str = "im.v2.Event.get";
const LIMIT: u16 = 1000;

/// Checks the properties for `bytes` as the response to a poll. Returns the events if it is accepted.
///
/// # Panics
/// If a property does not hold.
pub fn answer(bytes: &[u8]) -> Vec<Event> {
    let Some(answer) = Answer::read(bytes) else { return Vec::new() };
    let is_success = answer.status.is_success();
    match client().judge_aloof::<Page>(METHOD, answer, read_page) {
        Ok(page) => {
            assert!(is_success, "an answer without success was accepted");
            accepted(page)
        }
        Err(refusal) => {
            assert_is_fit_to_be_shown(&refusal);
            Vec::new()
        }
    }
}

/// One client for all responses; its secret is the mark.
fn client() -> &'static PortalClient {
    struct Forgetful;
    #[async_trait]
    impl KeyValue for Forgetful {
        async fn get(&self, _: &str) -> Result<Option<String>, String> {
            Ok(None)
        }
        async fn put(&self, _: &str, _: &str) -> Result<(), String> {
            Ok(())
        }
    }
    static CALLER: OnceLock<PortalClient> = OnceLock::new();
    CALLER.get_or_init(|| {
        let made = || {
            let address = SecretUrl::parse("https://portal.example/")?;
            let webhook = WebhookUrl::parse(&format!("https://portal.example/rest/12/{MARK}/"))?;
            let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|_| "no runtime")?;
            let portal_state = runtime
                .block_on(PortalState::open(&address, PortalConfig::with_rate(None), Arc::new(Forgetful)))
                .map_err(|_| "no site")?;
            PortalClient::try_new(
                Arc::new(portal_state),
                Credential::Webhook(webhook),
                Duration::from_secs(1),
            )
            .map_err(|_| "no caller")
        };
        made().unwrap_or_else(|reason: &str| panic!("{reason}"))
    })
}

fn accepted(page: Dated<Page>) -> Vec<Event> {
    let queue = Arc::new(Queue::new("support", "portal.example/user/12"));
    let offset = page.result.events.0.first().map_or(Offset::START, |item| item.id.as_offset());
    let received = page.result.events.0.len();
    let batch = queue::batch(&queue, page.result, offset, LIMIT);
    assert!(batch.events.len() <= received && (received > 0 || !batch.has_more));
    assert!(batch.events.is_sorted_by(|one, next| one.id < next.id), "ascending, and each id once");
    assert!(batch.events.iter().all(|event| offset.wants(event.id)), "nothing below what was asked for");
    batch.events.iter().for_each(assert_line_says_the_same);
    batch.events
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
    let line: Line<'_> = read(&bytes);
    assert_eq!((line.id, &line.kind), (event.queue.stable_id(event.id).as_str(), &event.kind));
    assert_eq!(line.date.get(), event.date.get().replace(['\n', '\r'], " "));
    assert_eq!(line.data.get(), event.data.get().replace(['\n', '\r'], " "));
    // The line contains the portal's own JSON of an event, so it can be parsed as such.
    let items: Items = read(format!("[{}]", String::from_utf8_lossy(&bytes)).as_bytes());
    assert_eq!(items.0.iter().map(|item| item.id).collect::<Vec<_>>(), [event.id]);
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> T {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

fn assert_is_fit_to_be_shown(refusal: &CallError) {
    let (text, hint) = (refusal.to_string(), refusal.hint_for("support"));
    for shown in [&text, &hint, refusal.code().unwrap_or_default(), &format!("{refusal:?}")] {
        assert_hides_the_mark(shown);
    }
    assert!(!text.contains(char::is_control), "moves the cursor: {text:?}");
    assert!(text.chars().count() < 1000, "a novel: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::hold_against_seeds;

    #[test]
    fn whatever_a_portal_answers_is_read_or_refused_as_promised() {
        hold_against_seeds("portal_answer", |bytes| drop(answer(bytes)));
    }

    #[test]
    fn the_door_leads_to_both_ends() {
        let page = r#"{"result":{"events":[{"eventId":8,"data":{"a":1}},{"eventId":"7"}]}}"#;
        assert_eq!(answer(format!("200\n\n{page}").as_bytes()).len(), 1, "7 is below the first");
        assert!(answer(format!("500\n\n{page}").as_bytes()).is_empty());
    }
}
