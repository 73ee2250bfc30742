//! What a receiver answered: a verdict on the events that were posted, and its words as far as they may be kept.
//!
//! The verdict stands with the head of the answer; the rest of it is bounded in bytes and in time, and changes
//! nothing.

use std::time::Duration;

use b24_client::foreign_text::{shown, shown_cut};
use b24_client::http;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use super::outcome::outcome;
use super::redactor::Redactor;
use super::service;
use crate::config::{Messenger, Outcome, OutcomesConfig, WebhookConfig};
use crate::sink::contract::DeliverError;
use crate::sink::contract::QUOTATION;

/// How much of a response is read, so that the connection can be reused.
const READ_MAX: usize = 64 * 1024;

/// How long the rest of an unneeded response is read. A connection that needs longer costs more than a new
/// one.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// How long a response is read if its text is needed for the operator.
const WORDS_TIME: Duration = Duration::from_secs(3);

/// How much of it a dead letter keeps.
pub(crate) const ANSWER_MAX: usize = 4 * 1024;

/// The maximum number of characters that are shown with the status, in the log and in the state of the sink.
const WORDS_MAX: usize = 200;

/// The header with which a receiver controls deliveries (a proposal to Standard Webhooks, pull request 291).
const CONTROL: &str = "webhook-delivery";

/// The requests of a receiver in addition to its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Control {
    /// Send no more events.
    disables: bool,
    /// Do not send this event again.
    aborts: bool,
}

impl Control {
    fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(CONTROL);
        let words = || values.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        let has = |wanted: &str| words().any(|word| word.trim().eq_ignore_ascii_case(wanted));
        Self { disables: has("disable"), aborts: has("abort-message") }
    }
}

/// Classifies the responses of one receiver.
pub(crate) struct ResponseClassifier {
    authority: String,
    outcomes: OutcomesConfig,
    service: Option<Messenger>,
    secrets: Redactor,
}

impl ResponseClassifier {
    pub(crate) fn new(config: &WebhookConfig, secrets: Redactor) -> Self {
        Self {
            authority: config.url.authority(),
            outcomes: config.outcomes.clone(),
            service: config.payload.body.service(),
            secrets,
        }
    }

    /// Classifies `response` for the posted events.
    pub(crate) async fn classifier(&self, response: Response) -> Result<(), DeliverError> {
        let (status, control) = (response.status(), Control::of(response.headers()));
        let wait = http::retry_after(response.headers());
        let outcome = outcome(status.as_u16(), &self.outcomes);
        let is_delivered = outcome == Outcome::Delivered;
        let (body, is_cut) = read(response, if is_delivered { DRAIN_TIME } else { WORDS_TIME }).await;
        let wait = wait.or_else(|| self.service.and_then(|service| service::retry_after(service, &body)));
        let mistake = self.service.and_then(|service| service::mistake(service, status.as_u16(), &body));
        let answer = if is_delivered { String::new() } else { self.presentable(&body, is_cut) };
        let reason = format!("{} answered {}", self.authority, http::status_words(status));
        let reason = format!("{reason}{}", quoted(&answer));
        if control.disables {
            let reason = format!("{reason} with `{CONTROL}: disable`");
            return Err(DeliverError::Paused { reason, is_delivered });
        }
        if let Some(hint) = mistake {
            return Err(DeliverError::Held { reason: format!("{reason}: {hint}"), wait });
        }
        if outcome == Outcome::Rejected || (control.aborts && !is_delivered && outcome != Outcome::Paused) {
            let (status, is_final) = (Some(status.as_u16()), control.aborts);
            return Err(DeliverError::Rejected { reason, status, answer, is_final });
        }
        match outcome {
            Outcome::Delivered => Ok(()),
            Outcome::Paused => Err(DeliverError::Paused { reason, is_delivered }),
            Outcome::Held => Err(DeliverError::Held { reason: format!("{reason}: {}", hint(status)), wait }),
            Outcome::Transient | Outcome::Rejected => Err(DeliverError::Transient { reason, wait }),
        }
    }

    /// The receiver's text without our secrets, up to the maximum length.
    fn presentable(&self, body: &[u8], is_cut: bool) -> String {
        let (text, secrets) = (String::from_utf8_lossy(body), self.secrets.expose());
        let secrets = secrets.iter().map(String::as_str);
        if is_cut { shown_cut(&text, secrets, ANSWER_MAX) } else { shown(&text, secrets, ANSWER_MAX) }
    }
}

/// The start of `answer` as shown after a status, see [`crate::sink::cause`]; empty if the text is empty.
fn quoted(answer: &str) -> String {
    let words = answer.split_whitespace().collect::<Vec<_>>().join(" ").replace(['"', '`'], "'");
    if words.is_empty() {
        return String::new();
    }
    let is_long = words.chars().count() > WORDS_MAX;
    let words: String = words.chars().take(WORDS_MAX).collect();
    format!("{QUOTATION}{words}{}\"", if is_long { "..." } else { "" })
}

/// The hint for a sink that is held.
fn hint(status: StatusCode) -> &'static str {
    if status.is_redirection() {
        "redirects are not followed, correct `url`"
    } else if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        "correct `auth`, `headers` or `secrets`, or let the receiver accept them"
    } else {
        "correct the receiver or `url`"
    }
}

/// Reads the rest of an unneeded response, so that its connection can be reused.
pub(crate) async fn let_go(response: Response) {
    read(response, DRAIN_TIME).await;
}

/// The first bytes of a body, and whether it is incomplete. Reading stops at the maximum length, after
/// `time`, or at an error; the connection is then dropped.
async fn read(mut response: Response, time: Duration) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let reading = async {
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = READ_MAX - body.len();
                    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    if chunk.len() > room {
                        return false;
                    }
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    };
    let is_whole = timeout(time, reading).await.unwrap_or(false);
    (body, !is_whole)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;
    use crate::config::SecretUrl;

    fn classifier(url: &str) -> ResponseClassifier {
        let config = WebhookConfig::of(SecretUrl::parse(url).unwrap());
        ResponseClassifier::new(&config, Redactor::of(&config))
    }

    #[test]
    fn what_is_kept_of_an_answer_shows_no_secret_wherever_it_is_cut() {
        let classifier = classifier("http://127.0.0.1/hook/s3cr3tc0de?token=0therm4rk");
        let (code, mark) = ("s3cr3tc0de", "0therm4rk");
        for shift in [ANSWER_MAX, READ_MAX] {
            for at in shift - 40..=shift {
                let body = format!("{}{code} {mark} \u{1b}[2J", "я".repeat(at / 2));
                let (body, is_cut) = (&body.as_bytes()[..body.len().min(READ_MAX)], body.len() > READ_MAX);
                let answer = classifier.presentable(body, is_cut);
                assert!(answer.len() <= ANSWER_MAX && !answer.contains('\u{1b}'));
                assert!(!answer.contains("s3c") && !answer.contains("0th"), "{at}: {answer}");
            }
        }
    }

    #[test]
    fn the_beginning_of_an_answer_stands_in_one_line_behind_the_status() {
        assert_eq!(quoted(" \n "), "");
        assert_eq!(quoted("{\"error\":\n  `no such chat`}"), ", \"{'error': 'no such chat'}\"");
        assert_eq!(quoted(&"я".repeat(201)), format!(", \"{}...\"", "я".repeat(200)));
    }

    #[test]
    fn an_answer_that_is_no_text_is_kept_as_far_as_it_is() {
        assert_eq!(
            classifier("http://127.0.0.1/").presentable(b"no\xff \0way\r\n", false),
            "no\u{fffd}  way  "
        );
    }

    #[test]
    fn a_receiver_asks_for_less_in_any_case_and_among_other_words() {
        let control = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTROL, HeaderValue::from_static(value));
            }
            let Control { disables, aborts } = Control::of(&headers);
            (disables, aborts)
        };
        assert_eq!(control(&["disable"]), (true, false));
        assert_eq!(control(&[" Disable "]), (true, false));
        assert_eq!(control(&["abort-message"]), (false, true));
        assert_eq!(control(&["abort-message, disable"]), (true, true));
        assert_eq!(control(&["later", "disable"]), (true, false));
        assert_eq!(control(&["disabled", "do not disable", ""]), (false, false));
        assert_eq!(control(&[]), (false, false));
    }
}
