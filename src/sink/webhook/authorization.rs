//! Authorization for a receiver: a fixed header, or a token from an authorization server.

use reqwest::header::HeaderValue;
use tokio::time::Instant;

use super::hidden::{Hidden, basic};
use super::tokens::{Refusal, Tokens};
use crate::config::{AuthConfig, SecretText, WebhookConfig};

/// The `Authorization` header of one request.
pub(super) struct Shown {
    pub(super) header: HeaderValue,
    /// True if the token was cached, so a new one may be requested if it is refused.
    pub(super) is_replaceable: bool,
}

/// The authorization for one receiver.
pub(super) enum Authorization {
    None,
    Fixed(HeaderValue),
    OAuth2(Box<Tokens>),
}

impl Authorization {
    /// Creates the authorization from `config`.
    ///
    /// # Errors
    /// Describes why TLS cannot be set up, or which secret is not valid in a header.
    pub(super) fn try_new(config: &WebhookConfig, hidden: &Hidden) -> Result<Self, String> {
        let Some(auth) = &config.auth else { return Ok(Self::None) };
        Ok(match auth {
            AuthConfig::Basic { user, password } => {
                Self::Fixed(header(&format!("Basic {}", basic(user.expose(), password.expose())))?)
            }
            AuthConfig::Bearer(token) => Self::Fixed(bearer(token)?),
            AuthConfig::OAuth2(client) => {
                Self::OAuth2(Box::new(Tokens::try_new(config, client, hidden.clone())?))
            }
        })
    }

    /// The header to send, if any.
    ///
    /// # Errors
    /// If no token is available.
    pub(super) async fn show(&self, deadline: Instant) -> Result<Option<Shown>, Refusal> {
        Ok(match self {
            Self::None => None,
            Self::Fixed(header) => Some(Shown { header: header.clone(), is_replaceable: false }),
            Self::OAuth2(tokens) => Some(tokens.take(None, deadline).await?),
        })
    }

    /// The header to send instead of `refused`.
    pub(super) async fn replace(&self, refused: &Shown, deadline: Instant) -> Result<Option<Shown>, Refusal> {
        match self {
            Self::None | Self::Fixed(_) => self.show(deadline).await,
            Self::OAuth2(tokens) => tokens.take(Some(&refused.header), deadline).await.map(Some),
        }
    }
}

/// `Bearer TOKEN` (RFC 6750).
pub(super) fn bearer(token: &SecretText) -> Result<HeaderValue, String> {
    header(&format!("Bearer {}", token.expose()))
}

pub(super) fn header(text: &str) -> Result<HeaderValue, String> {
    let header = HeaderValue::try_from(text);
    let mut header = header.map_err(|_| "what `auth` says cannot stand in a header".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}
