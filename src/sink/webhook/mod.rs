//! An HTTP receiver: one POST an event, settled by a 2xx. The URL may hold a secret and is never shown,
//! not even in the receiver's own words.

mod answer;
mod outcome;

use async_trait::async_trait;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;

use super::{DeliverError, Sink};
use crate::config::WebhookConfig;
use crate::event::Event;
use crate::http_client;
use answer::Judge;

/// The `webhook` sink.
pub struct WebhookSink {
    client: Client,
    judge: Judge,
    config: WebhookConfig,
}

impl WebhookSink {
    /// # Errors
    /// A text that says why TLS cannot be set up.
    pub fn try_new(config: WebhookConfig) -> Result<Self, String> {
        let client = http_client::build(config.url.expose(), config.timeout)?;
        Ok(Self { client, judge: Judge::new(&config), config })
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
        self.judge.judge(response).await
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
