//! The client of the authorization server (PORTAL.md 5). `client_secret` is sent nowhere else.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use crate::answer::intermediary;
use crate::answer::shapes::Opened;
use crate::class::{self, Class, Hint, Row, Verdict};
use crate::http::{self, BodyError, Failure, Peer, Pool, Route};
use crate::oauth::tokens::Tokens;
use crate::refusal::{CallError, presentable, spell};
use crate::settings::OAuthConfig;

/// The name of the request in errors.
pub(crate) const METHOD: &str = "oauth/token";

/// The timeout of a token request. It is much shorter than the grace period of a stop, because a pair that
/// the server issued and we did not save is a lost login.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A pair has a few hundred bytes.
const BODY_MAX: usize = 64 * 1024;

/// The servers of the vendor. A grant may name one of them as its own.
const INTERNATIONAL: &str = "https://oauth.bitrix.info/";
const REGIONAL: &str = "https://oauth.bitrix24.tech/";

/// Suffixes of the portal hosts that belong to [`REGIONAL`].
const REGIONS: [&str; 8] = [".ru", ".am", ".az", ".ge", ".kz", ".kg", ".uz", ".by"];

const LOGIN: &str = "log in again: `b24relay login SOURCE`";
const SECRET: &str = "check `client_id`, `client_secret` and `server` against the application's card";
const NO_CLIENT: &str = "correct that: b24relay tries again by itself";
const REPORT: &str = "this looks like a defect of b24relay: please report it";
const SCOPE: &str = "correct the scopes in the application's card, then `b24relay login SOURCE`";

/// The error codes of PORTAL.md 5.4, in upper case.
#[rustfmt::skip]
const CODES: &[Row] = &[
    Row("INVALID_REQUEST", Class::Bug, 1, Hint::same(REPORT)),
    Row("INVALID_CLIENT", Class::Operator, 1, Hint::same(SECRET)),
    Row("WRONG_CLIENT", Class::Operator, 1, Hint::same(SECRET)),
    Row("INVALID_GRANT", Class::Operator, 1, Hint::same(LOGIN)),
    Row("BAD_VERIFICATION_CODE", Class::Operator, 1, Hint::same("a code lives 30 seconds and works once: start `b24relay login SOURCE` again")),
    Row("INVALID_SCOPE", Class::Operator, 1, Hint::same(SCOPE)),
    Row("INSUFFICIENT_SCOPE", Class::Operator, 1, Hint::same(SCOPE)),
    Row("PAYMENT_REQUIRED", Class::Operator, 15, Hint::same("the application's trial or paid period is over: renew it on the portal")),
    Row("NOT_INSTALLED", Class::Operator, 5, Hint::same("install the application on the portal again, then `b24relay login SOURCE`")),
];

/// The credential for a new pair.
#[derive(Clone, Copy)]
pub enum TokenRequest<'a> {
    /// The code that the portal issued after the user agreed, and the login it belongs to.
    Code(&'a str, &'a Attempt),
    /// The refresh token of the previous pair.
    Refresh(&'a str),
}

/// One login in a browser. It starts with a random value, so that the response to another login is not
/// accepted.
#[derive(Debug)]
pub struct Attempt {
    /// Returned by the portal together with the code.
    pub state: String,
    /// Sent together with the code. On a server with PKCE (RFC 7636), the code is worthless without it.
    verifier: String,
}

impl Attempt {
    /// Builds an attempt from random bytes.
    pub fn new(random: &[u8; 64]) -> Self {
        let (state, verifier) = random.split_at(32);
        Self { state: URL_SAFE_NO_PAD.encode(state), verifier: URL_SAFE_NO_PAD.encode(verifier) }
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }
}

/// The authorization server, for one application.
pub struct Authorization {
    /// Created on first use. If that fails, a daemon retries later.
    pool: OnceLock<Pool>,
    config: OAuthConfig,
    route: Route,
}

impl Authorization {
    /// The server for `config`, reached by `route`.
    pub fn new(config: &OAuthConfig, route: Route) -> Self {
        Self { pool: OnceLock::new(), config: config.clone(), route }
    }

    /// Requests a pair; `before` is the pair that it replaces.
    ///
    /// # Errors
    /// Every error of PORTAL.md 5.4, classified. After an error, the previous pair is assumed to be still
    /// valid.
    pub async fn ask(&self, request: TokenRequest<'_>, before: Option<&Tokens>) -> Result<Tokens, CallError> {
        let asked = self.exchange(request, before).await;
        asked.map_err(|error| error.naming_login(&self.config.grant))
    }

    async fn exchange(&self, wanted: TokenRequest<'_>, before: Option<&Tokens>) -> Result<Tokens, CallError> {
        let request = self
            .pool()?
            .client()
            .post(self.endpoint(before))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(self.form(wanted))
            .build();
        let request = request.map_err(|error| CallError::retry(METHOD, http::explain(error)))?;
        let sent = self.pool()?.send(request).await;
        let response = sent.map_err(unanswered)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let wait = http::retry_after(&headers);
        let body = http::read_body(response, BODY_MAX).await.map_err(|error| match error {
            BodyError::TooLarge => {
                CallError::retry(METHOD, "the answer is far greater than a pair of tokens")
            }
            BodyError::Broken(reason) => CallError::retry(METHOD, reason),
        })?;
        self.judge(wanted, before, status, &headers, &body).map_err(|error| error.with_wait(wait))
    }

    fn pool(&self) -> Result<&Pool, CallError> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let server = self.config.server.as_ref().map(|server| server.expose().clone());
        let server = server.unwrap_or_else(|| default_server(&self.config.portal.authority()));
        let pool = Pool::try_new(&server, TIMEOUT, self.route.clone());
        let pool = pool.map_err(|error| CallError::operator(METHOD, error.to_string(), NO_CLIENT))?;
        Ok(self.pool.get_or_init(|| pool))
    }

    fn judge(
        &self,
        request: TokenRequest<'_>,
        before: Option<&Tokens>,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Tokens, CallError> {
        let Ok(envelope) = Opened::<IgnoredAny>::parse(body) else {
            let called = self.endpoint(before);
            let reason = intermediary::describe("the authorization server's", &called, status, headers, body);
            let reason = presentable(&reason, self.secrets(request, before));
            return Err(CallError::new(METHOD, of_page(status), reason));
        };
        if let Some(code) = envelope.code() {
            let verdict = Row::find(CODES, &code).unwrap_or(of_status(status));
            let [code, description] =
                [&code, &envelope.description()].map(|text| presentable(text, self.secrets(request, before)));
            let reason = spell(&code, status, &description);
            return Err(CallError::new(METHOD, verdict, reason).with_code(code));
        }
        if !(200..300).contains(&status) {
            return Err(CallError::new(
                METHOD,
                of_page(status),
                format!("an answer without a token (HTTP {status})"),
            ));
        }
        let text = String::from_utf8_lossy(body);
        Tokens::parse(text.trim_start_matches('\u{feff}'), &self.config.client_id)
            .map_err(|reason| CallError::retry(METHOD, format!("the answer {reason}")))
    }

    /// The operator's server, or the server of the grant if it belongs to the vendor, or the server of the
    /// region.
    fn endpoint(&self, before: Option<&Tokens>) -> Url {
        let named = before.and_then(|tokens| tokens.server_endpoint.as_ref()).filter(|url| is_vendors(url));
        let mut url = match (&self.config.server, named) {
            (Some(server), _) => server.expose().clone(),
            (None, Some(named)) => named.clone(),
            (None, None) => default_server(&self.config.portal.authority()),
        };
        url.set_path("/oauth/token/");
        url.set_query(None);
        url
    }

    fn form(&self, request: TokenRequest<'_>) -> String {
        let OAuthConfig { client_id, client_secret, .. } = &self.config;
        let (grant_type, key, value, verifier) = match request {
            TokenRequest::Code(code, attempt) => {
                ("authorization_code", "code", code, Some(&attempt.verifier))
            }
            TokenRequest::Refresh(token) => ("refresh_token", "refresh_token", token, None),
        };
        // A form has the same encoding as the query of a URL.
        let mut url = default_server("");
        url.query_pairs_mut()
            .append_pair("grant_type", grant_type)
            .append_pair("client_id", client_id)
            .append_pair("client_secret", client_secret.expose())
            .append_pair(key, value)
            .extend_pairs(verifier.map(|verifier| ("code_verifier", verifier)));
        url.query().unwrap_or_default().to_owned()
    }

    fn secrets<'a>(&'a self, request: TokenRequest<'a>, before: Option<&'a Tokens>) -> [&'a str; 3] {
        let (TokenRequest::Code(given, _) | TokenRequest::Refresh(given)) = request;
        [self.config.client_secret.expose(), given, before.map_or("", |tokens| tokens.access.expose())]
    }
}

/// The address at which a user agrees in a browser that the application may act for them.
pub fn authorize_url(config: &OAuthConfig, attempt: &Attempt) -> Url {
    let mut url = config.portal.expose().clone();
    url.set_path("/oauth/authorize/");
    url.query_pairs_mut()
        .append_pair("client_id", &config.client_id)
        .append_pair("code_challenge", &attempt.challenge())
        .append_pair("code_challenge_method", "S256")
        .append_pair("state", &attempt.state);
    url
}

fn of_status(status: u16) -> Verdict {
    match status {
        404 => Verdict::new(
            Class::Operator,
            Hint::same("the authorization server does not know this portal: check `portal` and `server`"),
        ),
        500.. | 429 | 408 => Verdict::new(Class::Retry, Hint::NONE),
        _ => Verdict::new(Class::RetryBounded, Hint::same(SECRET)),
    }
}

/// The verdict on a response that does not come from the authorization server itself.
fn of_page(status: u16) -> Verdict {
    match status {
        404 => Verdict::soon(Class::Operator, of_status(status).hint),
        429 | 503 => of_status(status),
        // A single such page does not alert the operator, because the login is still valid.
        _ => match class::of_status(status) {
            verdict if verdict.class == Class::Operator => Verdict { class: Class::RetryBounded, ..verdict },
            verdict => verdict,
        },
    }
}

fn unanswered(failure: Failure) -> CallError {
    let trouble = http::request_error(failure, Peer::AuthorizationServer);
    CallError::new(METHOD, intermediary::verdict(&trouble), trouble.what).with_hint(trouble.advice)
}

fn is_vendors(url: &Url) -> bool {
    [INTERNATIONAL, REGIONAL]
        .iter()
        .any(|server| server.parse::<Url>().is_ok_and(|server| server.origin() == url.origin()))
}

fn default_server(portal: &str) -> Url {
    let server = if REGIONS.iter().any(|region| portal.ends_with(region)) { REGIONAL } else { INTERNATIONAL };
    #[expect(clippy::expect_used, reason = "both are constants, and a test parses them")]
    server.parse().expect("a URL")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::secret_text::SecretText;
    use crate::secret::secret_url::SecretUrl;

    fn authorization(portal: &str) -> Authorization {
        let config = OAuthConfig {
            grant: "support".into(),
            portal: SecretUrl::parse(portal).unwrap(),
            client_id: "app".into(),
            client_secret: SecretText::new("s3 cr&t"),
            server: None,
        };
        Authorization::new(&config, Route::default())
    }

    fn tokens(server: &str) -> Tokens {
        let text = format!(r#"{{"access_token":"a","refresh_token":"r","server_endpoint":"{server}"}}"#);
        Tokens::parse(&text, "app").unwrap()
    }

    #[test]
    fn the_server_is_the_regions_or_the_one_of_the_vendor_that_the_grant_names() {
        for (portal, named, expected) in [
            ("https://a.bitrix24.com/", None, INTERNATIONAL),
            ("https://a.bitrix24.ru/", None, REGIONAL),
            ("https://a.bitrix24.com/", Some("https://oauth.bitrix24.tech/rest/"), REGIONAL),
            ("https://a.bitrix24.com/", Some("https://thief.example/rest/"), INTERNATIONAL),
            ("https://a.bitrix24.com/", Some("http://oauth.bitrix.info/rest/"), INTERNATIONAL),
        ] {
            let before = named.map(tokens);
            let endpoint = authorization(portal).endpoint(before.as_ref());
            assert_eq!(endpoint.as_str(), format!("{expected}oauth/token/"));
        }
    }

    #[test]
    fn the_form_is_encoded_and_errors_repeat_no_secret() {
        let authorization = authorization("https://a.bitrix24.com/");
        assert_eq!(
            authorization.form(TokenRequest::Refresh("r=1")),
            "grant_type=refresh_token&client_id=app&client_secret=s3+cr%26t&refresh_token=r%3D1"
        );
        let body = br#"{"error":"invalid_grant","error_description":"s3 cr&t r-1 is wrong"}"#;
        let error = authorization
            .judge(TokenRequest::Refresh("r-1"), None, 400, &HeaderMap::new(), body)
            .unwrap_err();
        assert_eq!(error.to_string(), "`oauth/token`: invalid_grant (HTTP 400): *** *** is wrong");
        assert_eq!(error.class, Class::Operator);
    }

    #[test]
    fn a_login_sends_the_challenge_to_the_browser_and_the_verifier_with_the_code() {
        // The example in RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let attempt = Attempt { state: "s".into(), verifier: verifier.into() };
        let authorization = authorization("https://a.bitrix24.com/");
        let url = authorize_url(&authorization.config, &attempt);
        assert_eq!(
            url.as_str(),
            "https://a.bitrix24.com/oauth/authorize/?client_id=app\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&state=s"
        );
        let form = authorization.form(TokenRequest::Code("c", &attempt));
        assert!(form.ends_with(&format!("&code=c&code_verifier={verifier}")), "{form}");
        let [one, other] = [Attempt::new(&[1; 64]), Attempt::new(&[2; 64])];
        assert!(one.state != other.state && one.verifier != other.verifier && one.verifier.len() == 43);
    }

    #[test]
    fn every_error_has_its_class() {
        let authorization = authorization("https://a.bitrix24.com/");
        let class = |status, body: &str| {
            let judged = authorization.judge(
                TokenRequest::Refresh("c"),
                None,
                status,
                &HeaderMap::new(),
                body.as_bytes(),
            );
            judged.unwrap_err().class
        };
        for (status, code, expected) in [
            (400, "invalid_request", Class::Bug),
            (400, "invalid_client", Class::Operator),
            (401, "INVALID_CLIENT", Class::Operator),
            (200, "wrong_client", Class::Operator),
            (400, "invalid_grant", Class::Operator),
            (400, "bad_verification_code", Class::Operator),
            (403, "invalid_scope", Class::Operator),
            (401, "insufficient_scope", Class::Operator),
            (401, "PAYMENT_REQUIRED", Class::Operator),
            (401, "NOT_INSTALLED", Class::Operator),
            (400, "new_code", Class::RetryBounded),
            (500, "new_code", Class::Retry),
        ] {
            assert_eq!(class(status, &format!(r#"{{"error":"{code}"}}"#)), expected, "{code}");
        }
        for (status, body, expected) in [
            (404, "<html>", Class::Operator),
            (404, "{}", Class::Operator),
            (502, "<html>", Class::Retry),
            (503, "", Class::Retry),
            (302, "", Class::RetryBounded),
            (403, "<html>", Class::RetryBounded),
            (200, "<html>", Class::RetryBounded),
            (200, r#"{"access_token":"#, Class::RetryBounded),
            (200, r#"{"access_token":"a"}"#, Class::Retry),
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }
}
