//! Entry points for `fuzz/`: properties that hold for every response of a portal, or of another server in its
//! place.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::answer::odd::read_page;
use crate::answer::shapes::{Items, WirePage};
use crate::client::{Credential, Dated, PortalClient};
use crate::event::{Offset, PageEvent};
use crate::http::Route;
use crate::key_value::NoKeyValue;
use crate::methods::queue;
use crate::portal_state::PortalState;
use crate::refusal::CallError;
use crate::secret::secret_url::SecretUrl;
use crate::secret::webhook_url::WebhookUrl;
use crate::settings::PortalConfig;
use b24_testkit::fuzzing::{Answer, MARK, assert_hides_the_mark};

const METHOD: &str = "im.v2.Event.get";
const LIMIT: u16 = 1000;

/// Checks the properties for `bytes` as the response to a poll. Returns the events if it is accepted.
///
/// # Panics
/// If a property does not hold.
pub fn answer(bytes: &[u8]) -> Vec<PageEvent> {
    let Some(answer) = Answer::read(bytes) else { return Vec::new() };
    let is_success = answer.status.is_success();
    match client().judge_aloof::<WirePage>(METHOD, answer, read_page) {
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
    static CLIENT: OnceLock<PortalClient> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let made = || {
            let address = SecretUrl::parse("https://portal.example/")?;
            let webhook = WebhookUrl::parse(&format!("https://portal.example/rest/12/{MARK}/"))?;
            let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|_| "no runtime")?;
            let portal_state = runtime
                .block_on(PortalState::open(&address, PortalConfig::with_rate(None), Arc::new(NoKeyValue)))
                .map_err(|_| "no portal state")?;
            PortalClient::try_new(
                Arc::new(portal_state),
                Credential::Webhook(webhook),
                Duration::from_secs(1),
                Route::default(),
            )
            .map_err(|_| "no client")
        };
        made().unwrap_or_else(|reason: &str| panic!("{reason}"))
    })
}

fn accepted(page: Dated<WirePage>) -> Vec<PageEvent> {
    let offset = page.result.events.0.first().map_or(Offset::START, |item| item.id.as_offset());
    let received = page.result.events.0.len();
    let page = queue::sorted(page.result, offset, LIMIT);
    assert!(page.events.len() <= received && (received > 0 || !page.has_more));
    assert!(page.events.is_sorted_by(|one, next| one.id < next.id), "ascending, and each id once");
    assert!(page.events.iter().all(|event| offset.wants(event.id)), "nothing below what was asked for");
    page.events
}

/// The events of `json`, a list as in the answer to a poll.
///
/// # Panics
/// If the list cannot be read.
pub fn events(json: &[u8]) -> Vec<PageEvent> {
    let items: Items = serde_json::from_slice(json)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(json)));
    items.0.into_iter().map(PageEvent::from).collect()
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
    use b24_testkit::fuzzing::hold_against_seeds;

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
