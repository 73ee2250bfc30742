//! The secrets of a webhook sink, which `foreign_text` removes from the receiver's answers: our URL, header values,
//! passwords, tokens and what deliveries are signed with.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use b24_client::secret::secret_url::PART_MIN;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::config::{AuthConfig, SecretText, SigningSecret, WebhookConfig};

/// In a header with several words (`Token 1234...`), shorter words are not the secret.
const WORD_MIN: usize = 8;

/// An attempt in flight may still receive an echo of a replaced token.
const TOKENS_MAX: usize = 4;

/// The current signing secrets and the previous ones, each with and without its prefix.
const SIGNING_MAX: usize = 40;

/// The secrets of one sink. Clones share them.
#[derive(Clone)]
pub(crate) struct Redactor {
    fixed: Arc<[String]>,
    tokens: Arc<RwLock<VecDeque<String>>>,
    signing: Arc<RwLock<Vec<String>>>,
}

impl Redactor {
    pub(crate) fn of(config: &WebhookConfig) -> Self {
        let headers = config.headers.values().filter_map(|value| value.to_str().ok());
        let texts = headers.flat_map(with_words).chain(config.auth.iter().flat_map(secrets_of));
        let parts = config.url.expose_parts().into_iter().chain(config.proxy.expose_parts());
        let fixed: Vec<String> = parts.chain(texts).filter(|text| is_secret(text)).collect();
        let redactor = Self { fixed: fixed.into(), tokens: Arc::default(), signing: Arc::default() };
        redactor.hide_signing(&config.payload.signing.secrets);
        redactor
    }

    /// Adds a token.
    pub(crate) fn hide(&self, token: &SecretText) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() == TOKENS_MAX {
            tokens.pop_front();
        }
        tokens.push_back(token.expose().to_owned());
    }

    /// Adds signing secrets.
    pub(crate) fn hide_signing(&self, secrets: &[SigningSecret]) {
        let mut redactor = self.signing.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *redactor);
        redactor.extend(secrets.iter().flat_map(spelled));
        let before: Vec<_> = before.into_iter().filter(|text| !redactor.contains(text)).collect();
        redactor.extend(before);
        redactor.truncate(SIGNING_MAX);
    }

    /// All secrets.
    pub(crate) fn expose(&self) -> Vec<String> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let signing = self.signing.read().unwrap_or_else(PoisonError::into_inner);
        let changing = tokens.iter().chain(signing.iter()).filter(|text| is_secret(text));
        changing.chain(self.fixed.iter()).cloned().collect()
    }
}

fn with_words(text: &str) -> Vec<String> {
    let words = text.split_whitespace().filter(|word| word.len() >= WORD_MIN);
    words.chain([text]).map(str::to_owned).collect()
}

fn secrets_of(auth: &AuthConfig) -> Vec<String> {
    match auth {
        AuthConfig::Basic { user, password } => {
            vec![password.expose().to_owned(), basic(user.expose(), password.expose())]
        }
        AuthConfig::Bearer(token) => vec![token.expose().to_owned()],
        AuthConfig::OAuth2(client) => vec![
            client.client_secret.expose().to_owned(),
            basic(&client.client_id, client.client_secret.expose()),
        ],
    }
}

/// With and without the `whsec_` prefix.
fn spelled(secret: &SigningSecret) -> [String; 2] {
    let text = secret.expose();
    [text.to_owned(), text.split_once('_').map_or(text, |(_, bare)| bare).to_owned()]
}

/// The text after `Basic` in the header (RFC 7617).
pub(crate) fn basic(user: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("{user}:{password}"))
}

fn is_secret(text: &str) -> bool {
    text.chars().count() >= PART_MIN
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::config::SecretUrl;
    use b24_client::foreign_text::without;

    fn redactor(header: &'static str, auth: Option<AuthConfig>) -> Redactor {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static("x-key"), HeaderValue::from_static(header))]);
        let url = SecretUrl::parse("https://a.example/hook").unwrap();
        Redactor::of(&WebhookConfig { auth, headers, ..WebhookConfig::of(url) })
    }

    fn shown(redactor: &Redactor, text: &str) -> String {
        without(text, redactor.expose().iter().map(String::as_str))
    }

    #[test]
    fn what_deliveries_are_signed_with_is_hidden_also_after_it_was_replaced() {
        let redactor = redactor("s3cr3tw0rd", None);
        let (one, other) = ("b25lIHNlY3JldCBvZiB0aGUgdGVzdHMuLi4=", "b3RoZXIgc2VjcmV0IG9mIHRoZSB0ZXN0cw==");
        for bare in [one, other] {
            redactor.hide_signing(&[SigningSecret::parse(&format!("whsec_{bare}")).unwrap()]);
        }
        for text in [one, other, &format!("whsec_{one}"), &format!("whsec_{other}")] {
            assert_eq!(shown(&redactor, &format!("<{text}>")), "<***>", "{text}");
        }
    }

    #[test]
    fn every_secret_of_a_sink_is_hidden_in_each_of_its_forms() {
        let auth = AuthConfig::Basic { user: SecretText::new("me"), password: SecretText::new("s3/cr\"3t") };
        let redactor = redactor("Token s3cr3tw0rd", Some(auth));
        let encoded = basic("me", "s3/cr\"3t");
        for text in ["s3cr3tw0rd", "Token s3cr3tw0rd", "s3/cr\"3t", "s3\\/cr\\\"3t", "s3/cr\\\"3t", &encoded]
        {
            assert_eq!(shown(&redactor, &format!("<{text}>")), "<***>", "{text}");
        }
        redactor.hide(&SecretText::new("t0k3n"));
        assert_eq!(shown(&redactor, "Bearer t0k3n"), "Bearer ***");
    }

    #[test]
    fn a_token_is_hidden_until_a_few_others_have_come() {
        let redactor = redactor("abcd", None);
        for number in 0..=TOKENS_MAX {
            redactor.hide(&SecretText::new(format!("t0k3n-{number}")));
        }
        assert_eq!(shown(&redactor, "t0k3n-0 t0k3n-1 t0k3n-4"), "t0k3n-0 *** ***");
    }
}
