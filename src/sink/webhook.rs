//! An HTTP receiver: one POST an event, settled by a 2xx. The URL may hold a secret and is never shown.

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};

use super::{DeliverError, Sink};
use crate::config::WebhookConfig;
use crate::event::Event;
use crate::http_client;

/// How much of an answer is read, so that the connection can serve again: we have no use for it.
const ANSWER_MAX: usize = 64 * 1024;

/// The `webhook` sink.
pub struct WebhookSink {
    client: Client,
    config: WebhookConfig,
}

impl WebhookSink {
    /// # Errors
    /// A text that says why TLS cannot be set up.
    pub fn try_new(config: WebhookConfig) -> Result<Self, String> {
        Ok(Self { client: http_client::build(config.url.expose(), config.timeout)?, config })
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
        // The verdict stands with the status line; the rest is read only to keep the connection.
        http_client::read_body(response, ANSWER_MAX).await.ok();
        let reason = format!("{} answered {status}", self.config.url.authority());
        match status.as_u16() {
            200..=299 => Ok(()),
            408 | 425 | 429 | 500..=599 => Err(DeliverError::Transient { reason, wait }),
            300..=399 => Err(DeliverError::Held {
                reason: format!("{reason}: redirects are not followed, correct `url`"),
            }),
            _ => Err(DeliverError::Held { reason: format!("{reason}: correct the receiver or `url`") }),
        }
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
