//! An HTTP receiver: one POST an event, settled by a 2xx. The URL may hold a secret and is never shown,
//! not even in the receiver's own words.

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode};

use super::{DeliverError, Sink};
use crate::config::WebhookConfig;
use crate::event::Event;
use crate::foreign_text::{beginning, plain, without, without_torn};
use crate::http_client;

/// How much of an answer is read, so that the connection can serve again.
const READ_MAX: usize = 64 * 1024;

/// How much of it a dead letter keeps.
const ANSWER_MAX: usize = 4 * 1024;

/// What a status says about the event that was posted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Delivered,
    /// It may well be taken in a moment.
    Transient,
    /// It will never be taken as it is.
    Rejected,
    /// Something is wrong with us or the receiver, not with the event.
    Held,
}

impl Verdict {
    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Delivered,
            400 | 406 | 411 | 413 | 414 | 415 | 422 | 431 | 501 | 505 => Self::Rejected,
            408 | 425 | 429 | 500..=599 => Self::Transient,
            _ => Self::Held,
        }
    }
}

/// The `webhook` sink.
pub struct WebhookSink {
    client: Client,
    config: WebhookConfig,
    /// What may be secret in the URL.
    secrets: Vec<String>,
}

impl WebhookSink {
    /// # Errors
    /// A text that says why TLS cannot be set up.
    pub fn try_new(config: WebhookConfig) -> Result<Self, String> {
        let client = http_client::build(config.url.expose(), config.timeout)?;
        Ok(Self { client, secrets: config.url.expose_parts(), config })
    }

    async fn post(&self, event: &Event) -> Result<(), DeliverError> {
        let mut body = Vec::new();
        event.write_json(&mut body);
        let request = self
            .client
            .post(self.config.url.expose().clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", event.queue.stable_id(event.id))
            .body(body);
        let response = request.send().await.map_err(|error| {
            let reason = format!("{}: {}", self.config.url.authority(), http_client::explain(error));
            DeliverError::Transient { reason, wait: None }
        })?;
        self.judge(response).await
    }

    async fn judge(&self, response: Response) -> Result<(), DeliverError> {
        let status = response.status();
        let wait = http_client::retry_after(response.headers());
        // The verdict stands with the status line, whatever becomes of the rest.
        let (body, is_cut) = http_client::read_beginning(response, READ_MAX).await;
        let reason = format!("{} answered {status}", self.config.url.authority());
        match Verdict::of(status) {
            Verdict::Delivered => Ok(()),
            Verdict::Transient => Err(DeliverError::Transient { reason, wait }),
            Verdict::Rejected => {
                let answer = self.presentable(&body, is_cut);
                Err(DeliverError::Rejected { reason, status: Some(status.as_u16()), answer })
            }
            Verdict::Held if status.is_redirection() => Err(DeliverError::Held {
                reason: format!("{reason}: redirects are not followed, correct `url`"),
            }),
            Verdict::Held => {
                Err(DeliverError::Held { reason: format!("{reason}: correct the receiver or `url`") })
            }
        }
    }

    /// The receiver's words without our URL, as much of them as is kept.
    fn presentable(&self, body: &[u8], is_cut: bool) -> String {
        let secrets = || self.secrets.iter().map(String::as_str);
        let text = without(&String::from_utf8_lossy(body), secrets());
        let text = if is_cut { without_torn(&text, secrets()) } else { text };
        beginning(&plain(&text), ANSWER_MAX).to_owned()
    }
}

#[async_trait]
impl Sink for WebhookSink {
    /// One at a time: the receiver sees events in order, and a crash repeats one.
    fn attempt_max(&self) -> usize {
        1
    }

    async fn deliver(&self, events: &[&Event]) -> Result<(), DeliverError> {
        for event in events {
            self.post(event).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::SecretUrl;

    fn sink(url: &str) -> WebhookSink {
        let config = WebhookConfig { url: SecretUrl::parse(url).unwrap(), timeout: Duration::from_secs(1) };
        WebhookSink::try_new(config).unwrap()
    }

    #[test]
    fn what_is_kept_of_an_answer_shows_no_secret_wherever_it_is_cut() {
        let sink = sink("http://127.0.0.1/hook/s3cr3tc0de?token=0therm4rk");
        let (code, mark) = ("s3cr3tc0de", "0therm4rk");
        for shift in [ANSWER_MAX, READ_MAX] {
            for at in shift - 40..=shift {
                let body = format!("{}{code} {mark} \u{1b}[2J", "я".repeat(at / 2));
                let (body, is_cut) = (&body.as_bytes()[..body.len().min(READ_MAX)], body.len() > READ_MAX);
                let answer = sink.presentable(body, is_cut);
                assert!(answer.len() <= ANSWER_MAX && !answer.contains('\u{1b}'));
                assert!(!answer.contains("s3c") && !answer.contains("0th"), "{at}: {answer}");
            }
        }
    }

    #[test]
    fn where_secrets_shrink_the_end_of_what_was_read_comes_into_sight() {
        let code = "s3cr3tc0de".repeat(500);
        let answer = sink(&format!("http://127.0.0.1/{code}"));
        let body = code.repeat(READ_MAX / code.len() + 1);
        let answer = answer.presentable(&body.as_bytes()[..READ_MAX], true);
        assert_eq!(answer, "***".repeat(READ_MAX / code.len()));
    }

    #[test]
    fn an_answer_that_is_no_text_is_kept_as_far_as_it_is() {
        assert_eq!(sink("http://127.0.0.1/").presentable(b"no\xff \0way\r\n", false), "no\u{fffd}  way  ");
    }
}
