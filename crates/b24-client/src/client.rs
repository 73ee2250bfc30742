//! One call to one portal: turn, request, bounded answer, verdict. URLs and tokens are never shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Response, StatusCode, Url};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::answer::intermediary;
use crate::answer::shapes::Opened;
use crate::answer::unreadable::{self, Form};
use crate::class::{self, Class, Hint, Verdict};
use crate::http::{self, BodyError, ClientBuildError, Failure, Peer, Pool, ProxyError, Route, Via};
use crate::limits::budget::Purpose;
use crate::limits::operating::Operating;
use crate::limits::tries::{TRIES_MAX, Tries};
use crate::oauth::session::OAuthSession;
use crate::portal_state::{PortalState, Redirect};
use crate::refusal::{CallError, presentable, spell};
use crate::secret::secret_text::SecretText;
use crate::secret::secret_url::SecretUrl;
use crate::secret::webhook_url::WebhookUrl;

/// The largest response that is read. A page of 1000 ordinary events has 1 to 3 MB; a larger page is
/// requested in smaller parts.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// The credential of a call.
#[derive(Clone)]
pub enum Credential {
    /// An incoming webhook; its secret is in the path.
    Webhook(WebhookUrl),
    /// An application's token, sent with the parameters.
    OAuthSession(Arc<OAuthSession>),
}

/// Calls methods of one portal with one credential and one connection pool.
pub struct PortalClient {
    pool: Pool,
    portal_state: Arc<PortalState>,
    credential: Credential,
    operating: Operating,
    hidden: Vec<SecretText>,
    /// How often [`PortalClient::call`] makes a call at most.
    tries: u32,
    /// The number of calls that wait for their turn.
    queued: AtomicUsize,
}

/// One call that waits for its turn. It may be cancelled.
struct Queued<'c>(&'c AtomicUsize);

impl<'c> Queued<'c> {
    fn new(queued: &'c AtomicUsize) -> Self {
        queued.fetch_add(1, Ordering::Relaxed);
        Self(queued)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A result and its time.
pub struct Dated<T> {
    pub result: T,
    /// The portal's clock in Unix milliseconds, if the response contains it: `time`, or else `Date`.
    pub portal_ms: Option<i64>,
}

/// A function that parses a response. The second parameter is a buffer for text that is not in the body in
/// this form.
pub(crate) type Read<T> = for<'a> fn(&'a [u8], &'a mut Vec<u8>) -> Result<Opened<'a, T>, serde_json::Error>;

/// The request, without its body.
struct Sent {
    method: &'static str,
    url: Url,
    /// True if the portal redirected the call to this address.
    is_moved: bool,
    token: Option<SecretText>,
}

/// The response, without its body.
struct Received {
    status: StatusCode,
    headers: HeaderMap,
}

/// The parameters together with the token, which is not in the URL because URLs end up in logs.
#[derive(Serialize)]
struct Authorised<'a, P> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'a str>,
    #[serde(flatten)]
    params: &'a P,
}

impl PortalClient {
    /// Creates a client that connects by `route` and whose requests time out after `timeout`.
    ///
    /// # Errors
    /// Describes why TLS cannot be set up.
    pub fn try_new(
        portal_state: Arc<PortalState>,
        credential: Credential,
        timeout: Duration,
        route: Route,
    ) -> Result<Self, ClientBuildError> {
        let pool = Pool::try_new(portal_state.address().expose(), timeout, route)?;
        Ok(Self {
            pool,
            portal_state,
            credential,
            operating: Operating::default(),
            hidden: Vec::new(),
            tries: TRIES_MAX,
            queued: AtomicUsize::new(0),
        })
    }

    /// Adds a secret parameter, to redact it in all messages.
    #[must_use]
    pub fn hiding(mut self, secrets: impl IntoIterator<Item = SecretText>) -> Self {
        self.hidden.extend(secrets);
        self
    }

    /// Makes a text from the portal safe to show: short, on one line, without a secret of this client.
    pub async fn presentable(&self, text: &str) -> String {
        let tokens = match &self.credential {
            Credential::Webhook(_) => None,
            Credential::OAuthSession(grant) => grant.tokens().await,
        };
        let tokens = tokens.iter().flat_map(|tokens| [&tokens.access, &tokens.refresh]);
        let secrets = self.own_secrets().chain(tokens.map(SecretText::expose));
        presentable(text, secrets)
    }

    /// Makes every call only once, for a command that shows the current state.
    #[must_use]
    pub fn once(self) -> Self {
        Self { tries: 1, ..self }
    }

    /// The portal that receives the calls.
    pub fn portal_state(&self) -> &PortalState {
        &self.portal_state
    }

    /// Calls `method` and parses the result as a `T`. Retries a few times if the error is temporary. Meant
    /// for commands.
    ///
    /// # Errors
    /// Every refusal and every symptom of PORTAL.md section 6, classified.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<T, CallError> {
        let mut tries = Tries::of(self.tries);
        loop {
            match self.call_once(method, params).await {
                Err(refusal) => tries.pause_after(refusal).await?,
                outcome => return outcome,
            }
        }
    }

    /// Calls `method`, and calls it again with a refreshed token if the first token has expired.
    async fn call_once<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<T, CallError> {
        match self.attempt(method, Purpose::Other, params).await {
            Err(refusal) if refusal.class == Class::Refresh => {
                self.renew(refusal).await?;
                self.attempt(method, Purpose::Other, params).await
            }
            outcome => outcome,
        }
    }

    /// Calls `method` once. Safe to cancel while it waits for its turn.
    pub async fn attempt<T: DeserializeOwned>(
        &self,
        method: &'static str,
        purpose: Purpose,
        params: &impl Serialize,
    ) -> Result<T, CallError> {
        let read: Read<T> = |body, _| Opened::parse(body);
        self.attempt_reading(method, purpose, params, read).await.map(|dated| dated.result)
    }

    /// Like [`PortalClient::attempt`], but returns the portal's clock too, and parses the response with `read`.
    pub async fn attempt_reading<T>(
        &self,
        method: &'static str,
        purpose: Purpose,
        params: &impl Serialize,
        read: Read<T>,
    ) -> Result<Dated<T>, CallError> {
        self.wait_for_turn(purpose).await;
        let mut sent = self.prepare(method).await?;
        let params = Authorised { auth: sent.token.as_ref().map(SecretText::expose), params };
        let body = serde_json::to_vec(&params).map_err(|error| {
            CallError::new(method, Verdict::new(Class::Bug, Hint::NONE), error.to_string())
        })?;
        let mut response = self.send(&sent, body.clone()).await?;
        if let Some(Redirect::Followed(target)) = self.redirect(&sent, response.status(), response.headers())
        {
            (sent.url, sent.is_moved) = (target, true);
            response = self.send(&sent, body).await?;
        }
        let received = Received { status: response.status(), headers: response.headers().clone() };
        let body = read_body(response).await;
        let body = body.map_err(|(verdict, reason)| self.failed(&sent, verdict, reason).blaming_size())?;
        let outcome = self.judge(&sent, &received, &body, read);
        self.learn(&sent, &outcome).await;
        outcome.map_err(CallError::blaming_size)
    }

    async fn wait_for_turn(&self, purpose: Purpose) {
        let queued = Queued::new(&self.queued);
        self.portal_state.admit(purpose).await;
        drop(queued);
    }

    /// While a call waits for its turn at the portal: how many turns everybody together has taken so far.
    pub fn turns(&self) -> Option<u64> {
        (self.queued.load(Ordering::Relaxed) > 0).then(|| self.portal_state.turns())
    }

    /// The share of the portal's rate limit that the last minute used; `None` if there is no limit.
    pub fn budget_used(&self) -> Option<f64> {
        self.portal_state.budget_used()
    }

    /// Gets a new token after `refusal`. Returns the refusal if there is none, because a webhook has nothing
    /// to refresh.
    ///
    /// # Errors
    /// The refusal itself, or the reason why the refresh failed.
    pub async fn renew(&self, refusal: CallError) -> Result<(), CallError> {
        let (Credential::OAuthSession(grant), Some(spent)) = (&self.credential, refusal.spent()) else {
            return Err(refusal);
        };
        if let Some(endpoint) = grant.renew(spent, refusal.method()).await? {
            self.portal_state.settle(&endpoint).await;
        }
        Ok(())
    }

    /// The login of this client; `None` for a webhook.
    pub fn grant(&self) -> Option<&OAuthSession> {
        match &self.credential {
            Credential::Webhook(_) => None,
            Credential::OAuthSession(grant) => Some(grant),
        }
    }

    /// Whether `method` comes near the limit of its operating time.
    pub fn is_strained(&self, method: &str) -> bool {
        self.operating.is_strained(method)
    }

    async fn prepare(&self, method: &'static str) -> Result<Sent, CallError> {
        let (url, token) = match &self.credential {
            Credential::Webhook(webhook) => (webhook.expose_method(method), None),
            Credential::OAuthSession(grant) => {
                let mut url = self.portal_state.address().expose().clone();
                url.set_path(&format!("/rest/{method}"));
                (url, Some(grant.access().await?))
            }
        };
        Ok(Sent { method, url: self.portal_state.locate(url), is_moved: false, token })
    }

    async fn send(&self, sent: &Sent, body: Vec<u8>) -> Result<Response, CallError> {
        let request = self.pool.client().post(sent.url.clone());
        let request = request.header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json");
        let request = request.body(body).build();
        let request = request
            .map_err(|error| self.failed(sent, Verdict::new(Class::Bug, Hint::NONE), http::explain(error)))?;
        self.pool.send(request).await.map_err(|failure| {
            let is_connect = matches!(&failure, Failure::Failed(error, _) if error.is_connect());
            if is_connect {
                self.portal_state.doubt_home();
            }
            let failed = self.unanswered(sent, failure);
            if is_connect { failed } else { failed.blaming_size() }
        })
    }

    /// Records what an outcome shows about the portal or the credential.
    async fn learn<T>(&self, sent: &Sent, outcome: &Result<Dated<T>, CallError>) {
        match outcome.as_ref().map_err(|refusal| refusal.class) {
            Ok(_) if sent.is_moved || self.portal_state.is_home_doubted() => {
                self.portal_state.settle(&sent.url).await;
            }
            Err(Class::Rate) => self.portal_state.refused_for_rate(),
            // The server at this address may no longer be our portal.
            Err(Class::Operator | Class::RetryBounded) => self.portal_state.doubt_home(),
            Ok(_) | Err(_) => {}
        }
        let (Credential::OAuthSession(grant), Some(token)) = (&self.credential, &sent.token) else { return };
        match outcome {
            Ok(_) => grant.prove(token, sent.method).await,
            Err(refusal) if refusal.class == Class::Operator => grant.doubt().await,
            Err(_) => {}
        }
    }

    fn judge<T>(
        &self,
        sent: &Sent,
        received: &Received,
        body: &[u8],
        read: Read<T>,
    ) -> Result<Dated<T>, CallError> {
        let without_json = || self.without_json(sent, received, body);
        let mut room = Vec::new();
        let Ok(envelope) = read(body, &mut room) else { return Err(without_json()) };
        if let Some(code) = envelope.code() {
            return Err(self.refusal(sent, received, &envelope, &code));
        }
        if let Some((used_s, reset_in)) = envelope.operating() {
            self.operating.note(sent.method, used_s, reset_in);
        }
        if !received.status.is_success() {
            return Err(without_json());
        }
        let malformed = |reason| {
            let hint = Hint::same("the portal's answer has an unknown form: is it up to date?");
            self.failed(sent, Verdict::soon(Class::RetryBounded, hint), reason)
        };
        let finished_ms = envelope.finished_ms();
        let result =
            envelope.result.ok_or_else(|| malformed("the answer has neither result nor error".into()))?;
        let portal_ms = finished_ms.or_else(|| http::date_ms(&received.headers));
        match result {
            Ok(result) => Ok(Dated { result, portal_ms }),
            Err(error) => Err(malformed(format!("the result cannot be read: {}", position(&error)))),
        }
    }

    fn refusal<T>(
        &self,
        sent: &Sent,
        received: &Received,
        envelope: &Opened<'_, T>,
        code: &str,
    ) -> CallError {
        let description = envelope.description();
        let verdict =
            class::of_error(code, received.status.as_u16(), &description, envelope.sessid.is_some());
        let [code, description] = [code, &description].map(|text| presentable(text, self.secrets(sent)));
        let reason = spell(&code, received.status.as_u16(), &description);
        let wait = match verdict.class {
            Class::OpWait => self.operating.reset_in(sent.method),
            _ => http::retry_after(&received.headers),
        };
        self.failed(sent, verdict, reason).with_wait(wait).with_code(code).with_spent(sent.token.clone())
    }

    fn without_json(&self, sent: &Sent, received: &Received, body: &[u8]) -> CallError {
        if let Some(object) = unreadable::refusal_in(body)
            && let Ok(envelope) = Opened::<IgnoredAny>::parse(object.as_bytes())
            && let Some(code) = envelope.code()
        {
            return self.refusal(sent, received, &envelope, &code);
        }
        let (status, headers) = (received.status.as_u16(), &received.headers);
        let form = Form::of(headers, body);
        let reason = match form.words().filter(|_| received.status.is_success()) {
            Some(words) => format!("{words} (HTTP {status})"),
            None => intermediary::describe("the portal's", &sent.url, status, headers, body),
        };
        let reason = presentable(&reason, self.secrets(sent));
        let wait = http::retry_after(&received.headers);
        let evidence = presentable(&form.evidence(&received.headers, body), self.secrets(sent));
        let error =
            self.failed(sent, form.verdict(status, body), reason).with_wait(wait).with_evidence(evidence);
        match self.redirect(sent, received.status, &received.headers) {
            Some(Redirect::Refused(target)) => error.advising(self.portal_state.hint(target.authority())),
            Some(Redirect::Followed(_) | Redirect::Other) | None => error,
        }
    }

    /// The redirect in a response with `status` and `headers`.
    fn redirect(&self, sent: &Sent, status: StatusCode, headers: &HeaderMap) -> Option<Redirect> {
        let location = headers.get(LOCATION).filter(|_| status.is_redirection())?;
        Some(self.portal_state.redirect(&sent.url, location.to_str().ok()?))
    }

    fn unanswered(&self, sent: &Sent, failure: Failure) -> CallError {
        let trouble = http::request_error(failure, Peer::Portal);
        let verdict = intermediary::verdict(&trouble);
        let host = sent.url.host_str().unwrap_or("?");
        let reason = match trouble.advice.as_str() {
            "" => trouble.what,
            _ => format!("{host}: {}", trouble.what),
        };
        self.failed(sent, verdict, reason).with_hint(trouble.advice)
    }

    fn failed(&self, sent: &Sent, verdict: Verdict, reason: String) -> CallError {
        let error = CallError::new(sent.method, verdict, reason);
        match &self.credential {
            Credential::Webhook(_) => error.with_hint(verdict.hint.webhook),
            Credential::OAuthSession(grant) => error.with_hint(verdict.hint.oauth).naming_login(grant.name()),
        }
    }

    fn secrets<'a>(&'a self, sent: &'a Sent) -> impl Iterator<Item = &'a str> {
        self.own_secrets().chain(sent.token.as_ref().map(SecretText::expose))
    }

    fn own_secrets(&self) -> impl Iterator<Item = &str> {
        let code = match &self.credential {
            Credential::Webhook(webhook) => Some(webhook.expose_code()),
            Credential::OAuthSession(_) => None,
        };
        code.into_iter().chain(self.hidden.iter().map(SecretText::expose))
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl PortalClient {
    /// Classifies a response that did not come over the network.
    pub(crate) fn judge_aloof<T>(
        &self,
        method: &'static str,
        answer: b24_testkit::fuzzing::Answer<'_>,
        read: Read<T>,
    ) -> Result<Dated<T>, CallError> {
        let mut url = self.portal_state.address().expose().clone();
        url.set_path(&format!("/rest/{method}"));
        if let Credential::Webhook(webhook) = &self.credential {
            url = webhook.expose_method(method);
        }
        let sent = Sent { method, url, is_moved: false, token: None };
        let received = Received { status: answer.status, headers: answer.headers };
        self.judge(&sent, &received, answer.body, read)
    }
}

/// Describes the proxy on the way to the portal at `address`, by the setting `via`.
///
/// # Errors
/// Names the environment variable that is invalid, with a hint.
pub fn proxy_to(address: &SecretUrl, via: &Via) -> Result<Option<String>, ProxyError> {
    let proxy = http::proxy_to(address.expose(), via)?;
    Ok(proxy.map(|proxy| proxy.to_string()))
}

async fn read_body(response: Response) -> Result<Vec<u8>, (Verdict, String)> {
    http::read_body(response, BODY_MAX).await.map_err(|error| match error {
        BodyError::TooLarge => {
            let hint = Hint::same("one event alone is greater than the cap on an answer");
            (
                Verdict::new(Class::TooLarge, hint),
                format!("the answer is greater than {} MiB", BODY_MAX >> 20),
            )
        }
        BodyError::Broken(reason) => (unreadable::broken(&reason), reason),
    })
}

/// The position of a parse error and the expected element, but not the actual text, which may be part of a
/// chat or the address of the call.
fn position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field") {
        return text;
    }
    // The expected element is our own text and comes last, so nothing from the response can follow it.
    match text.rsplit_once(", expected ") {
        Some((_, expected)) if error.is_data() => format!("expected {expected}"),
        _ => format!("{:?} error at column {}", error.classify(), error.column()),
    }
}
