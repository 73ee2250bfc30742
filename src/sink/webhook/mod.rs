//! An HTTP receiver: one POST an event, settled by a 2xx. The URL may hold a secret and is never shown,
//! not even in the receiver's own words.

mod answer;
mod approach;
mod authorization;
mod encoding;
mod hidden;
mod tokens;
mod trouble;

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;

use super::{DeliverError, Sink};
use crate::config::WebhookConfig;
use crate::event::Event;
use answer::Judge;
use approach::Approach;
use hidden::Hidden;

pub(super) use approach::knock;

/// The `webhook` sink.
pub struct WebhookSink {
    approach: Approach,
    judge: Judge,
    config: WebhookConfig,
}

impl WebhookSink {
    /// # Errors
    /// A text that says why TLS cannot be set up.
    pub fn try_new(config: WebhookConfig) -> Result<Self, String> {
        let hidden = Hidden::of(&config);
        let approach = Approach::try_new(&config, &hidden)?;
        Ok(Self { approach, judge: Judge::new(&config, hidden), config })
    }

    async fn post(&self, event: &Event) -> Result<(), DeliverError> {
        let mut body = Vec::new();
        event.write_json(&mut body);
        let request = self
            .approach
            .client()
            .post(self.config.url.expose().clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", event.queue.stable_id(event.id));
        let response = self.approach.send(request, body).await?;
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
