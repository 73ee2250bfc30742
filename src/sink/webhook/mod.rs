//! An HTTP receiver: one POST an event, settled by a 2xx. The URL may hold a secret and is never shown,
//! not even in the receiver's own words.

mod answer;
mod cloud_event;
mod format;
mod keyring;
mod outcome;
mod signature;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;

use super::{DeliverError, Sink};
use crate::config::WebhookConfig;
use crate::event::Event;
use crate::http_client;
use crate::shutdown::Signals;
use answer::Judge;
use format::Enclosure;
use keyring::Keyring;

/// The `webhook` sink.
pub struct WebhookSink {
    client: Client,
    judge: Judge,
    keyring: Keyring,
    config: WebhookConfig,
}

impl WebhookSink {
    /// # Errors
    /// A text that says why TLS cannot be set up.
    pub fn try_new(config: WebhookConfig, signals: Signals) -> Result<Self, String> {
        let client = http_client::build(config.url.expose(), config.timeout)?;
        let keyring = Keyring::new(&config.letter.signing, signals);
        Ok(Self { client, judge: Judge::new(&config), keyring, config })
    }

    async fn post(&self, enclosure: Enclosure<'_>) -> Result<(), DeliverError> {
        let letter = format::write(self.config.letter.format, enclosure);
        let (id, secrets) = (format::message_id(enclosure), self.keyring.secrets().await);
        // The bytes of the body before any coding are what is signed, at every attempt anew.
        let signature = signature::headers(&id, Timestamp::now().as_second(), &letter.body, &secrets);
        let request = self.client.post(self.config.url.expose().clone());
        let request = request.header(CONTENT_TYPE, letter.content_type);
        let headers = letter.headers.into_iter().chain(signature);
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        let response = request.body(letter.body).send().await.map_err(|error| {
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
            self.post(Enclosure::Single(event)).await?;
        }
        Ok(())
    }
}
