//! A pair of OAuth tokens with its metadata (PORTAL.md 5.2), as received and as stored.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::secret_text::SecretText;

/// The assumed lifetime of an access token if the server does not report it.
const LIFETIME: Duration = Duration::from_secs(3600);

/// One login. Displays its user but not the tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The access token, sent with each call.
    pub access: SecretText,
    /// The refresh token, which can be exchanged once for the next pair.
    pub refresh: SecretText,
    /// The application they belong to.
    pub client_id: String,
    /// The user whose queue they open.
    pub user_id: Option<u64>,
    /// The portal's permanent id; empty if the server did not report it.
    pub member_id: String,
    /// The scope of the application, as the server wrote it.
    pub scope: String,
    /// The address of the portal.
    pub client_endpoint: Option<Url>,
    /// The address of the authorization server.
    pub server_endpoint: Option<Url>,
    /// The lifetime of the access token.
    pub lifetime: Duration,
}

/// What is missing in a text that should contain a pair of tokens. It repeats nothing of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokensError(&'static str);

/// The fields as sent and as stored. All except the pair itself may be missing, and numbers may be texts. The names
/// in capitals are those that a portal sends to a page of the application.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(alias = "AUTH_ID")]
    access_token: String,
    #[serde(alias = "REFRESH_ID")]
    refresh_token: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    client_id: String,
    #[serde(default)]
    user_id: Value,
    #[serde(default)]
    member_id: Value,
    #[serde(default)]
    scope: Value,
    #[serde(default)]
    client_endpoint: Value,
    #[serde(default, alias = "SERVER_ENDPOINT")]
    server_endpoint: Value,
    #[serde(default, alias = "AUTH_EXPIRES")]
    expires_in: Value,
}

impl Tokens {
    /// Parses a response of the authorization server, or a stored pair. `client_id` is used if the text does
    /// not contain one.
    pub fn parse(text: &str, client_id: &str) -> Result<Self, TokensError> {
        let wire: Wire = serde_json::from_str(text).map_err(|_| {
            TokensError("needs the texts `access_token` and `refresh_token` (or `AUTH_ID` and `REFRESH_ID`) in a JSON object")
        })?;
        if wire.access_token.trim().is_empty() || wire.refresh_token.trim().is_empty() {
            return Err(TokensError("`access_token` and `refresh_token` must not be empty"));
        }
        let owner = if wire.client_id.is_empty() { client_id.to_owned() } else { wire.client_id };
        Ok(Self {
            access: SecretText::new(wire.access_token),
            refresh: SecretText::new(wire.refresh_token),
            client_id: owner,
            user_id: number(&wire.user_id).filter(|id| *id > 0),
            member_id: text_of(&wire.member_id),
            scope: text_of(&wire.scope),
            client_endpoint: text_of(&wire.client_endpoint).parse().ok(),
            server_endpoint: text_of(&wire.server_endpoint).parse().ok(),
            lifetime: number(&wire.expires_in).map_or(LIFETIME, Duration::from_secs),
        })
    }

    /// The text to store; secret.
    pub fn expose(&self) -> String {
        let endpoint = |url: &Option<Url>| url.as_ref().map(Url::as_str).into();
        let wire = Wire {
            access_token: self.access.expose().to_owned(),
            refresh_token: self.refresh.expose().to_owned(),
            client_id: self.client_id.clone(),
            user_id: self.user_id.into(),
            member_id: self.member_id.clone().into(),
            scope: self.scope.clone().into(),
            client_endpoint: endpoint(&self.client_endpoint),
            server_endpoint: endpoint(&self.server_endpoint),
            expires_in: self.lifetime.as_secs().into(),
        };
        serde_json::json!(wire).to_string()
    }

    /// Keeps the values from before the refresh that the response does not contain.
    #[must_use]
    pub fn inherit(mut self, before: &Self) -> Self {
        self.user_id = self.user_id.or(before.user_id);
        if self.member_id.is_empty() {
            self.member_id.clone_from(&before.member_id);
        }
        if self.scope.is_empty() {
            self.scope.clone_from(&before.scope);
        }
        self.client_endpoint = self.client_endpoint.or_else(|| before.client_endpoint.clone());
        self.server_endpoint = self.server_endpoint.or_else(|| before.server_endpoint.clone());
        self
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens of user {:?} for {}", self.user_id, self.client_id)
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_leniently_and_kept_whole() {
        let text = r#"{"access_token":"a1","refresh_token":"r1","expires_in":"1800","user_id":"12","member_id":"m",
            "client_endpoint":"https://p.example/rest/","status":"L","expires":1}"#;
        let tokens = Tokens::parse(text, "app").unwrap();
        assert_eq!((tokens.user_id, tokens.lifetime), (Some(12), Duration::from_secs(1800)));
        assert_eq!(Tokens::parse(&tokens.expose(), "other"), Ok(tokens.clone()));
        assert!(!format!("{tokens:?}").contains("a1") && !format!("{tokens:?}").contains("r1"));

        let bare =
            Tokens::parse(r#"{"access_token":"a2","refresh_token":"r2","user_id":null}"#, "app").unwrap();
        let heir = bare.inherit(&tokens);
        assert_eq!((heir.user_id, heir.member_id.as_str(), heir.access.expose()), (Some(12), "m", "a2"));
    }

    #[test]
    fn the_names_that_a_page_of_the_application_is_sent_are_read_too() {
        let text = r#"{"DOMAIN":"p.example","AUTH_ID":"a1","REFRESH_ID":"r1","AUTH_EXPIRES":"1800","member_id":"m",
            "SERVER_ENDPOINT":"https://oauth.example/rest/"}"#;
        let tokens = Tokens::parse(text, "app").unwrap();
        assert_eq!((tokens.access.expose(), tokens.refresh.expose()), ("a1", "r1"));
        assert_eq!((tokens.lifetime, tokens.member_id.as_str()), (Duration::from_secs(1800), "m"));
        assert_eq!(tokens.server_endpoint.as_ref().and_then(Url::host_str), Some("oauth.example"));
    }

    #[test]
    fn what_is_no_pair_is_refused_without_repeating_it() {
        for text in [
            "s3cr3t",
            "[]",
            r#"{"access_token":"s3cr3t"}"#,
            r#"{"access_token":"s3cr3t","refresh_token":" "}"#,
        ] {
            assert!(!Tokens::parse(text, "app").unwrap_err().0.contains("s3cr3t"), "{text}");
        }
    }
}
