//! Tokens of an authorization server, by the client credentials grant (RFC 6749, 4.4): fetched when the first one is
//! needed, kept in memory until shortly before they end or a receiver refuses them, by one attempt at a time.

use std::time::Duration;

use b24_client::http::{self, BodyError, ClientBuildError, Pool};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Request, StatusCode};
use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use crate::config::{ClientConfig, SecretText, WebhookConfig};
use crate::sink::contract::DeliverError;
use crate::sink::webhook::access::credential::{Shown, bearer, header};
use crate::sink::webhook::connection::pool;
use crate::sink::webhook::redactor::{Redactor, basic};
use crate::sink::webhook::transport_error::{TransportError, trouble};

/// A token has a few kilobytes at most.
const BODY_MAX: usize = 64 * 1024;

/// A token is not used this long before it expires, because the receiver's clock may differ. If its lifetime
/// is less than twice this time, half the lifetime is used instead.
const MARGIN: Duration = Duration::from_secs(60);

/// The longest accepted lifetime.
const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The error codes of a server (RFC 6749, 5.2), with hints. The server's own text is not repeated.
const CODES: [(&str, &str); 6] = [
    ("invalid_client", "correct `auth.client_id` and `auth.client_secret`"),
    ("invalid_scope", "correct `auth.scope`"),
    ("unauthorized_client", "allow the client credentials grant for `auth.client_id` at the server"),
    ("unsupported_grant_type", "the server has no client credentials grant: correct `auth.token_url`"),
    ("invalid_grant", "correct `auth`"),
    ("invalid_request", "correct `auth`, the server may want a `scope`"),
];

/// The reason why there is no token. Shared by all attempts that waited for it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    trouble: TransportError,
    wait: Option<Duration>,
}

/// The tokens for one receiver.
pub(crate) struct Tokens {
    pool: Pool,
    authority: String,
    client: ClientConfig,
    redactor: Redactor,
    /// Locked during a request: other attempts wait for its outcome.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// When and how the last request failed. Attempts that waited for it fail with the same error.
    failure: Option<(Instant, Refusal)>,
}

struct Token {
    header: HeaderValue,
    /// When to stop using it; `None` to use it until it is refused.
    until: Option<Instant>,
}

/// A token in the server's response (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

/// A refusal by the server.
#[derive(Deserialize, Default)]
struct Refused {
    #[serde(default)]
    error: String,
}

impl Tokens {
    pub(crate) fn try_new(
        config: &WebhookConfig,
        client: &ClientConfig,
        redactor: Redactor,
    ) -> Result<Self, ClientBuildError> {
        let pool = pool(config, &client.token_url, config.timeout)?;
        let authority = client.token_url.authority();
        Ok(Self { pool, authority, client: client.clone(), redactor, state: Mutex::default() })
    }

    /// The header value with a token other than `refused`.
    ///
    /// # Errors
    /// If the server issues no token before `deadline`.
    pub(crate) async fn take(
        &self,
        refused: Option<&HeaderValue>,
        deadline: Instant,
    ) -> Result<Shown, Refusal> {
        let asked = Instant::now();
        let late = |_| self.passing("no token in time");
        let mut state: MutexGuard<'_, State> = timeout_at(deadline, self.state.lock()).await.map_err(late)?;
        if let Some(header) = state.usable(refused) {
            return Ok(Shown { header, is_replaceable: true });
        }
        if let Some((at, refusal)) = &state.failure
            && *at > asked
        {
            return Err(refusal.clone());
        }
        state.token = None;
        match self.fetch(deadline).await {
            Ok(token) => {
                let header = token.header.clone();
                *state = State { token: Some(token), failure: None };
                Ok(Shown { header, is_replaceable: false })
            }
            Err(refusal) => {
                state.failure = Some((Instant::now(), refusal.clone()));
                Err(refusal)
            }
        }
    }

    async fn fetch(&self, deadline: Instant) -> Result<Token, Refusal> {
        let request = self.request(deadline)?;
        let sent = self.pool.send(request).await;
        let response = sent.map_err(|failure| Refusal {
            trouble: match trouble(&self.authority, failure) {
                TransportError::Transient(reason) => TransportError::Transient(format!("no token: {reason}")),
                TransportError::NeedsOperator(reason) => {
                    TransportError::NeedsOperator(format!("no token: {reason}"))
                }
            },
            wait: None,
        })?;
        let (status, wait) = (response.status(), http::retry_after(response.headers()));
        let body = http::read_body(response, BODY_MAX).await;
        if !status.is_success() {
            return Err(Refusal { wait, ..self.refusal(status, &body.unwrap_or_default()) });
        }
        let body = body.map_err(|error| match error {
            BodyError::TooLarge => self.passing("the answer is far greater than a token"),
            BodyError::Broken(reason) => self.passing(&reason),
        })?;
        self.token(&body)
    }

    fn request(&self, deadline: Instant) -> Result<Request, Refusal> {
        let scope = self.client.scope.as_deref().map_or_else(String::new, |scope| {
            format!("&scope={}", utf8_percent_encode(scope, NON_ALPHANUMERIC))
        });
        // RFC 6749, 2.3.1: both are form-encoded before they are joined.
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let (user, password) = (&self.client.client_id, self.client.client_secret.expose());
        let authorization = header(&format!("Basic {}", basic(&encoded(user), &encoded(password))));
        let request = self
            .pool
            .client()
            .post(self.pool.url().clone())
            .header(AUTHORIZATION, authorization.map_err(|error| self.passing(&error.to_string()))?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .timeout(deadline.saturating_duration_since(Instant::now()))
            .body(format!("grant_type=client_credentials{scope}"));
        request.build().map_err(|error| self.passing(&http::explain(error)))
    }

    fn token(&self, body: &[u8]) -> Result<Token, Refusal> {
        let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
            return Err(self.passing("the answer holds no `access_token`: correct `auth.token_url`"));
        };
        let token = SecretText::new(answer.access_token);
        self.redactor.hide(&token);
        let header = bearer(&token).map_err(|_| self.passing("the token cannot stand in a header"))?;
        let life = answer.expires_in.as_ref().and_then(seconds);
        Ok(Token { header, until: life.map(|life| Instant::now() + life - MARGIN.min(life / 2)) })
    }

    /// Classifies a refusal with `status`.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> Refusal {
        let refused: Refused = serde_json::from_slice(body).unwrap_or_default();
        let known = CODES.iter().find(|(code, _)| *code == refused.error);
        let reason = format!("no token: {} answered {}", self.authority, http::status_words(status));
        let is_passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        let trouble = match known {
            _ if is_passing => TransportError::Transient(reason),
            Some((code, hint)) => TransportError::NeedsOperator(format!("{reason}, `{code}`: {hint}")),
            None if status.is_redirection() => TransportError::NeedsOperator(format!(
                "{reason}: redirects are not followed, correct `auth.token_url`"
            )),
            None => TransportError::NeedsOperator(format!("{reason}: correct `auth`")),
        };
        Refusal { trouble, wait: None }
    }

    fn passing(&self, reason: &str) -> Refusal {
        Refusal {
            trouble: TransportError::Transient(format!("no token: {}: {reason}", self.authority)),
            wait: None,
        }
    }
}

impl State {
    /// The cached token, unless it is about to expire or is the `refused` one.
    fn usable(&self, refused: Option<&HeaderValue>) -> Option<HeaderValue> {
        let token = self.token.as_ref()?;
        let is_fresh = token.until.is_none_or(|until| Instant::now() < until);
        (is_fresh && Some(&token.header) != refused).then(|| token.header.clone())
    }
}

impl From<Refusal> for DeliverError {
    fn from(refusal: Refusal) -> Self {
        match refusal.trouble {
            TransportError::Transient(reason) => Self::Transient { reason, wait: refusal.wait },
            TransportError::NeedsOperator(reason) => Self::Held { reason, wait: None },
        }
    }
}

/// `expires_in`: a number, but some servers write it as a text.
fn seconds(value: &serde_json::Value) -> Option<Duration> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let life = Duration::try_from_secs_f64(number.max(0.0)).ok()?;
    Some(life.min(LIFE_MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::SecretUrl;

    /// Runs eight attempts that need a token at the same time, with a server that responds like this. Returns
    /// their results and the number of requests.
    async fn eight(answer: &'static str) -> (Vec<Result<Shown, Refusal>>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = SecretUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
                counted.fetch_add(1, Ordering::SeqCst);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let client_secret = SecretText::new("s3cr3t");
        let client =
            ClientConfig { token_url: url.clone(), client_id: "a".into(), client_secret, scope: None };
        let config = WebhookConfig::of(url);
        let tokens = Tokens::try_new(&config, &client, Redactor::of(&config)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let outcomes = join_all((0..8).map(|_| tokens.take(None, deadline))).await;
        (outcomes, count.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn attempts_that_want_a_token_at_once_share_one_and_its_absence_too() {
        let token = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"access_token\":\"t0k3n\"}";
        let (outcomes, count) = eight(token).await;
        let shown = outcomes.into_iter().map(|outcome| outcome.ok().unwrap());
        let replaceable: Vec<bool> = shown.map(|shown| shown.is_replaceable).collect();
        assert_eq!((replaceable, count), ([&[false][..], &[true; 7]].concat(), 1));
        let (outcomes, count) = eight("HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\n").await;
        assert_eq!((outcomes.iter().filter(|outcome| outcome.is_err()).count(), count), (8, 1));
    }

    #[test]
    fn a_life_is_read_as_number_or_text_and_bounded() {
        for (value, life) in [
            (json!(3600), Some(Duration::from_secs(3600))),
            (json!("3600"), Some(Duration::from_secs(3600))),
            (json!(3599.5), Some(Duration::from_millis(3_599_500))),
            (json!(-1), Some(Duration::ZERO)),
            (json!(1e300), None),
            (json!(1e12), Some(LIFE_MAX)),
            (json!("soon"), None),
            (json!(null), None),
        ] {
            assert_eq!(seconds(&value), life, "{value}");
        }
    }
}
