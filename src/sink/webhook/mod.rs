//! An HTTP receiver: one POST per event, settled by a 2xx status. The URL may contain a secret and is never
//! shown, not even inside a response of the receiver.

mod answer; // the receiver's verdict
mod approach; // what a request needs besides its body
mod authorization; // static or by OAuth
mod cloud_event; // the format CloudEvents 1.0.2
mod connection; // TLS, proxy, connection pool
mod credential; // the `Authorization` header
mod encoding; // the compression of the body
mod format; // bodies and their ids
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hidden; // removes our secrets from answers
mod keyring; // the signing secrets, read again when the file changes
mod outcome; // each status and its meaning, as a table
mod signature; // Standard Webhooks 1.0
mod tokens; // of an authorization server
mod trouble; // why there is no answer
use answer::Judge;
use approach::Approach;
use async_trait::async_trait;
use format::Enclosure;
use hidden::Hidden;
use jiff::Timestamp;
use keyring::Keyring;
use reqwest::header::CONTENT_TYPE;

use crate::config::{BatchConfig, WebhookConfig};
use crate::event::Event;
use crate::shutdown::Signals;
use crate::sink::contract::DeliverError;
use crate::sink::contract::Mark;
use crate::sink::contract::Sink;

pub(in crate::sink) use approach::{knock, proxy_to};

/// The `webhook` sink.
pub struct WebhookSink {
    approach: Approach,
    judge: Judge,
    keyring: Keyring,
    batch: Option<BatchConfig>,
    config: WebhookConfig,
}

impl WebhookSink {
    /// Creates the sink with its connection pool.
    ///
    /// # Errors
    /// Describes why TLS cannot be set up.
    pub fn try_new(
        config: WebhookConfig,
        batch: Option<BatchConfig>,
        signals: Signals,
    ) -> Result<Self, String> {
        let hidden = Hidden::of(&config);
        let approach = Approach::try_new(&config, &hidden)?;
        let keyring = Keyring::new(&config.letter.signing, hidden.clone(), signals);
        Ok(Self { approach, judge: Judge::new(&config, hidden), keyring, batch, config })
    }

    async fn post(&self, enclosure: Enclosure<'_>) -> Result<(), DeliverError> {
        let letter = format::write(self.config.letter.format, enclosure);
        let (id, secrets) = (format::message_id(enclosure), self.keyring.secrets().await);
        // The signature covers the bytes of the body before compression. Each attempt has a new signature.
        let signature = signature::headers(&id, Timestamp::now().as_second(), &letter.body, &secrets);
        let request = self.approach.client().post(self.config.url.expose().clone());
        let request = request.header(CONTENT_TYPE, letter.content_type);
        let headers = letter.headers.into_iter().chain(signature);
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        let response = self.approach.send(request, letter.body).await?;
        self.judge.judge(response).await
    }
}

#[async_trait]
impl Sink for WebhookSink {
    fn attempt_max(&self) -> usize {
        self.batch.map_or(1, |batch| usize::from(batch.events))
    }

    async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError> {
        if self.batch.is_some() {
            self.post(Enclosure::Batch(events)).await?;
            return Ok(None);
        }
        for event in events {
            self.post(Enclosure::Single(event)).await?;
        }
        Ok(None)
    }
}
