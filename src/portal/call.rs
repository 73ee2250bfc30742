//! One call to one portal: request, bounded answer, verdict. The URL is the secret and is never shown.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Client, Response};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::answer::Opened;
use super::class::{self, Class};
use crate::config::{SourceConfig, WebhookUrl};
use crate::http_client::{self, BodyError};

/// The greatest answer that is read. A page of 1000 ordinary events is 1 to 3 MB; a greater one is
/// asked for in smaller parts instead.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// How much of a portal's own words goes into a message, in characters.
const DESCRIPTION_MAX: usize = 300;

/// A call that brought no result. Shows the method, the reason and the HTTP status, never the URL.
#[derive(Debug)]
pub struct CallError {
    /// What to do next.
    pub class: Class,
    /// How long the portal asked us to stay away, if it did.
    pub wait: Option<Duration>,
    /// What a person can do; empty when nobody needs to.
    pub cure: &'static str,
    method: &'static str,
    reason: String,
    code: Option<String>,
}

impl CallError {
    /// The error code as the portal sent it, if it sent one.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The same, for a command that knows better what it means than the table of all codes.
    #[must_use]
    pub fn advising(self, class: Class, cure: &'static str) -> Self {
        Self { class, cure, ..self }
    }

    /// The same, with `secret` removed from the portal's words: one that went along as a parameter.
    #[must_use]
    pub fn hiding(self, secret: &str) -> Self {
        let reason = if secret.is_empty() { self.reason } else { self.reason.replace(secret, "***") };
        Self { reason, ..self }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.method, self.reason)
    }
}

impl std::error::Error for CallError {}

/// Calls methods of one portal with one credential, over one pool of connections.
pub struct Caller {
    client: Client,
    webhook: WebhookUrl,
    /// When the operating time last reported will have run down (PORTAL.md section 7).
    operating_reset: Mutex<Option<Instant>>,
}

impl Caller {
    /// A caller with the credential of `source`.
    ///
    /// # Errors
    /// A text that says why TLS cannot be set up.
    pub fn try_new(source: &SourceConfig) -> Result<Self, String> {
        let webhook = source.webhook().cloned().ok_or("OAuth is not there yet")?;
        let client = http_client::build(webhook.url().expose(), source.poll.timeout)?;
        Ok(Self { client, webhook, operating_reset: Mutex::new(None) })
    }

    /// Calls `method` for a result of the shape of `T`.
    ///
    /// # Errors
    /// Every refusal and every symptom of PORTAL.md section 6, classified.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<T, CallError> {
        let failed =
            |(class, cure), reason| CallError { class, wait: None, cure, method, reason, code: None };
        let body = serde_json::to_vec(params).map_err(|error| failed((Class::Bug, ""), error.to_string()))?;
        let request = self
            .client
            .post(self.webhook.expose_method(method))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(body);
        let response = request.send().await.map_err(|error| {
            let verdict = of_transport(&error);
            failed(verdict, http_client::explain(error))
        })?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { method, status, headers };
        let body = read_body(response).await.map_err(|(verdict, reason)| failed(verdict, reason))?;
        self.judge(&answer, &body)
    }

    fn judge<T: DeserializeOwned>(&self, answer: &Answer, body: &[u8]) -> Result<T, CallError> {
        let Ok(envelope) = Opened::parse(body) else {
            return Err(answer.without_json(body, &self.webhook));
        };
        if let Some(code) = envelope.code() {
            return Err(self.refusal(answer, &envelope, &code));
        }
        self.note_operating(&envelope);
        let malformed = |reason| {
            let verdict = (Class::RetryBounded, "the portal's answer has an unknown form: is it up to date?");
            answer.failed(verdict, reason)
        };
        if !(200..300).contains(&answer.status) {
            return Err(answer.without_json(body, &self.webhook));
        }
        let result =
            envelope.result.ok_or_else(|| malformed("the answer has neither result nor error".into()))?;
        result.map_err(|error| malformed(format!("the result cannot be read: {}", position(&error))))
    }

    fn refusal<T>(&self, answer: &Answer, envelope: &Opened<'_, T>, code: &str) -> CallError {
        let description = envelope.description();
        let verdict = class::of_error(code, answer.status, &description, envelope.sessid.is_some());
        let code = presentable(code, &self.webhook);
        let description = presentable(&description, &self.webhook);
        let separator = if description.is_empty() { "" } else { ": " };
        let reason = format!("{code} (HTTP {}){separator}{description}", answer.status);
        let mut error = answer.failed(verdict, reason);
        error.code = Some(code);
        if error.class == Class::OpWait {
            error.wait = self.operating_reset_in();
        }
        error
    }

    fn note_operating<T>(&self, envelope: &Opened<'_, T>) {
        let reset =
            envelope.operating_reset_s().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if let (Some(reset), Ok(mut slot)) = (reset, self.operating_reset.lock()) {
            *slot = Instant::now().checked_add(reset);
        }
    }

    fn operating_reset_in(&self) -> Option<Duration> {
        let reset = (*self.operating_reset.lock().ok()?)?;
        Some(reset.saturating_duration_since(Instant::now()))
    }
}

/// What came back, but for the body.
struct Answer {
    method: &'static str,
    status: u16,
    headers: HeaderMap,
}

impl Answer {
    fn failed(&self, (class, cure): (Class, &'static str), reason: String) -> CallError {
        let wait = http_client::retry_after(&self.headers);
        CallError { class, wait, cure, method: self.method, reason, code: None }
    }

    fn without_json(&self, body: &[u8], webhook: &WebhookUrl) -> CallError {
        let status = self.status;
        let content = if body.is_empty() { "an empty answer" } else { "an answer that is not JSON" };
        let moved_to = self.headers.get(LOCATION).and_then(|to| to.to_str().ok());
        let reason = match moved_to.filter(|_| (300..400).contains(&status)) {
            // The path of the new address holds the secret as well.
            Some(to) => match reqwest::Url::parse(to) {
                Ok(url) => {
                    format!("sent on to {}://{} (HTTP {status})", url.scheme(), url.host_str().unwrap_or("?"))
                }
                Err(_) => format!("sent on within {} (HTTP {status})", webhook.url().authority()),
            },
            None => format!("{content} (HTTP {status})"),
        };
        self.failed(self.verdict_without_json(body), reason)
    }

    fn verdict_without_json(&self, body: &[u8]) -> (Class, &'static str) {
        let is_page = body.trim_ascii_start().starts_with(b"<");
        let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
        if self.status == 200 && !is_page && !is_json {
            // A success cut short or garbled on its way: nothing is known, so nothing has changed.
            return (Class::Retry, "");
        }
        class::of_status(self.status)
    }
}

fn of_transport(error: &reqwest::Error) -> (Class, &'static str) {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.to_string().contains("certificate") {
            return (
                Class::RetryBounded,
                "check the portal's certificate and this machine's CA certificates",
            );
        }
        source = cause.source();
    }
    (Class::Retry, "")
}

async fn read_body(response: Response) -> Result<Vec<u8>, ((Class, &'static str), String)> {
    http_client::read_body(response, BODY_MAX).await.map_err(|error| match error {
        BodyError::TooLarge => {
            let cure = "one event alone is greater than the cap on an answer";
            ((Class::TooLarge, cure), format!("the answer is greater than {} MiB", BODY_MAX >> 20))
        }
        BodyError::Broken(reason) => ((Class::Retry, ""), reason),
    })
}

/// Where reading failed and what was expected there, without what was found: it may be somebody's chat,
/// or the address we called.
fn position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field") {
        return text;
    }
    // Our own words come last, so nothing of what was found can stand behind them.
    match text.rsplit_once(", expected ") {
        Some((_, expected)) if error.is_data() => format!("expected {expected}"),
        _ => format!("{:?} error at column {}", error.classify(), error.column()),
    }
}

/// Foreign text made fit for a log line: no secret, no control characters, no mark-up, no novel.
fn presentable(text: &str, webhook: &WebhookUrl) -> String {
    let text = text.replace(webhook.expose_code(), "***").replace("<br>", " ");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DESCRIPTION_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_lose_the_secret_and_the_control_characters() {
        let webhook = WebhookUrl::parse("https://a.example/rest/1/s3cr3t/").unwrap();
        let text = presentable("see https://a.example/rest/1/s3cr3t/x\u{1b}[31m<br>now", &webhook);
        assert_eq!(text, "see https://a.example/rest/1/***/x [31m now");
        assert_eq!(presentable(&"ы".repeat(1000), &webhook).chars().count(), DESCRIPTION_MAX);
    }
}
