//! An HTTP receiver: one POST per event, settled by a 2xx status. The URL may contain a secret and is never
//! shown, not even inside a response of the receiver.

pub(crate) mod access; // the `Authorization` of a request
mod answer; // the receiver's verdict
pub(crate) mod body; // what is sent, and its signature
mod connection; // TLS, proxy, connection pool
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod outcome; // each status and its meaning, as a table
mod redactor; // removes our secrets from answers
mod service; // answers of messengers
mod transport; // what a request needs besides its body
mod transport_error; // why there is no answer
use answer::ResponseClassifier;
use async_trait::async_trait;
use body::format::Payload;
use body::keyring::Keyring;
use jiff::Timestamp;
use redactor::Redactor;
use reqwest::header::CONTENT_TYPE;
use transport::Transport;

use crate::config::{BatchConfig, WebhookConfig};
use crate::event::Event;
use crate::shutdown::Signals;
use crate::sink::contract::{BuildError, DeliverError, Mark, Preview, Sink};

pub(in crate::sink) use transport::{probe, proxy_to};

/// The request for `event`, without secrets and before it is signed and compressed.
///
/// # Errors
/// Says why there is no body.
pub(in crate::sink) fn preview(config: &WebhookConfig, event: &Event) -> Result<Preview, String> {
    let written = body::written::write(&config.payload.body, Payload::Single(event))?;
    let own = [(CONTENT_TYPE.as_str(), written.content_type.to_str().unwrap_or_default().to_owned())];
    let own = own.into_iter().chain(written.headers).map(|(name, value)| format!("{name}: {value}"));
    let hidden = config.headers.keys().map(|name| format!("{name}: ***"));
    Ok(Preview {
        target: format!("POST to {}", config.url.authority()),
        headers: own.chain(hidden).collect(),
        body: String::from_utf8_lossy(&written.body).into_owned(),
    })
}

/// The `webhook` sink.
pub(super) struct WebhookSink {
    transport: Transport,
    classifier: ResponseClassifier,
    keyring: Keyring,
    batch: Option<BatchConfig>,
    config: WebhookConfig,
}

impl WebhookSink {
    /// Creates the sink with its connection pool.
    pub(super) fn try_new(
        config: WebhookConfig,
        batch: Option<BatchConfig>,
        signals: Signals,
    ) -> Result<Self, BuildError> {
        let redactor = Redactor::of(&config);
        let transport = Transport::try_new(&config, &redactor)?;
        let keyring = Keyring::new(&config.payload.signing, redactor.clone(), signals);
        Ok(Self { transport, classifier: ResponseClassifier::new(&config, redactor), keyring, batch, config })
    }

    async fn post(&self, payload: Payload<'_>) -> Result<(), DeliverError> {
        let written = body::written::write(&self.config.payload.body, payload);
        let encoded = written.map_err(|reason| DeliverError::Rejected {
            reason,
            status: None,
            answer: String::new(),
            is_final: true,
        })?;
        let (id, secrets) = (body::format::message_id(payload), self.keyring.secrets().await);
        // The signature covers the bytes of the body before compression. Each attempt has a new signature.
        let signature = body::signature::headers(&id, Timestamp::now().as_second(), &encoded.body, &secrets);
        let request = self.transport.client().post(self.config.url.expose().clone());
        let request = request.header(CONTENT_TYPE, encoded.content_type);
        let headers = encoded.headers.into_iter().chain(signature);
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        let response = self.transport.send(request, encoded.body).await?;
        self.classifier.classifier(response).await
    }
}

#[async_trait]
impl Sink for WebhookSink {
    fn attempt_max(&self) -> usize {
        self.batch.map_or(1, |batch| usize::from(batch.events))
    }

    async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError> {
        if self.batch.is_some() {
            self.post(Payload::Batch(events)).await?;
            return Ok(None);
        }
        for event in events {
            self.post(Payload::Single(event)).await?;
        }
        Ok(None)
    }
}
