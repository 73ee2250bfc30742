//! The way to a receiver, and what is shown on it: TLS, proxy, headers, authorization, encoding.
//!
//! What `check` and deliveries do differently is only what they send.

use std::time::Duration;

use b24_client::http::{self, NamedProxy, Pool, ProxyError};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap};
use reqwest::{Client, Request, RequestBuilder, Response, StatusCode};
use tokio::time::Instant;

use super::answer::let_go;
use super::redactor::Redactor;
use super::transport_error::{TransportError, trouble};
use crate::config::{CompressConfig, WebhookConfig};
use crate::sink::contract::{BuildError, DeliverError, ProbeError};
use crate::sink::webhook::access::authorization::Authorization;
use crate::sink::webhook::access::credential::Shown;
use crate::sink::webhook::body::encoding::encode;
use crate::sink::webhook::connection::pool;
use crate::sink::webhook::connection::via;

/// The connection to one receiver.
pub(crate) struct Transport {
    pool: Pool,
    authority: String,
    timeout: Duration,
    headers: HeaderMap,
    authorization: Authorization,
    compress: CompressConfig,
}

impl Transport {
    pub(crate) fn try_new(config: &WebhookConfig, redactor: &Redactor) -> Result<Self, BuildError> {
        Ok(Self {
            pool: pool(config, &config.url, config.timeout)?,
            authority: config.url.authority(),
            timeout: config.timeout,
            headers: config.headers.clone(),
            authorization: Authorization::try_new(config, redactor)?,
            compress: config.compress,
        })
    }

    /// A client to build requests with.
    pub(crate) fn client(&self) -> Client {
        self.pool.client()
    }

    /// Sends `request` with `body`, which is already signed if required, and adds all headers that the
    /// receiver needs. A token that the receiver refuses is replaced once.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        body: Vec<u8>,
    ) -> Result<Response, DeliverError> {
        let deadline = Instant::now() + self.timeout;
        let request = self.finish_request(request, body)?;
        let shown = self.authorization.show(deadline).await.map_err(DeliverError::from)?;
        let again = request.try_clone();
        let response = self.exchange(request, shown.as_ref(), deadline).await?;
        let (Some(shown), Some(again)) = (shown, again) else { return Ok(response) };
        if response.status() != StatusCode::UNAUTHORIZED || !shown.is_replaceable {
            return Ok(response);
        }
        let_go(response).await;
        let shown = self.authorization.replace(&shown, deadline).await.map_err(DeliverError::from)?;
        self.exchange(again, shown.as_ref(), deadline).await
    }

    fn finish_request(&self, request: RequestBuilder, body: Vec<u8>) -> Result<Request, DeliverError> {
        let passing = |reason: String| DeliverError::Transient { reason, wait: None };
        let (body, encoding) =
            encode(body, self.compress).map_err(|error| passing(format!("could not compress: {error}")))?;
        let request = request.headers(self.headers.clone()).body(body).build();
        let mut request = request.map_err(|error| passing(http::explain(error)))?;
        request.headers_mut().extend(encoding.map(|encoding| (CONTENT_ENCODING, encoding)));
        Ok(request)
    }

    async fn exchange(
        &self,
        mut request: Request,
        shown: Option<&Shown>,
        deadline: Instant,
    ) -> Result<Response, DeliverError> {
        request.headers_mut().extend(shown.map(|shown| (AUTHORIZATION, shown.header.clone())));
        *request.timeout_mut() = Some(deadline.saturating_duration_since(Instant::now()));
        let sent = self.pool.send(request).await;
        sent.map_err(|failure| DeliverError::from(trouble(&self.authority, failure)))
    }
}

impl From<TransportError> for DeliverError {
    fn from(trouble: TransportError) -> Self {
        match trouble {
            TransportError::Transient(reason) => Self::Transient { reason, wait: None },
            TransportError::NeedsOperator(reason) => Self::Held { reason, wait: None },
        }
    }
}

/// The proxy for the receiver.
pub(in crate::sink) fn proxy_to(config: &WebhookConfig) -> Result<Option<NamedProxy>, ProxyError> {
    http::proxy_to(config.url.expose(), &via(config))
}

/// Sends a HEAD request without credentials to the receiver. Any response is fine, because many receivers
/// support only POST.
pub(in crate::sink) async fn probe(config: &WebhookConfig, timeout: Duration) -> Result<String, ProbeError> {
    let authority = config.url.authority();
    let pool = pool(config, &config.url, timeout).map_err(|error| ProbeError(error.to_string()))?;
    let request = pool.client().head(config.url.expose().clone()).build();
    let request = request.map_err(|error| ProbeError(http::explain(error)))?;
    match pool.send(request).await {
        Ok(response) => {
            let status = http::status_words(response.status());
            let words = format!("{authority} answers a HEAD request with {status}");
            Ok(http::through(words, pool.proxy().as_ref()))
        }
        Err(failure) => match trouble(&authority, failure) {
            TransportError::Transient(reason) | TransportError::NeedsOperator(reason) => {
                Err(ProbeError(reason))
            }
        },
    }
}
