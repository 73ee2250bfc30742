//! What is shown to a receiver that wants to know who we are: always the same, or a token that has to be fetched.

use reqwest::header::HeaderValue;
use tokio::time::Instant;

use super::hidden::{Hidden, basic};
use super::tokens::{Refusal, Tokens};
use crate::config::{AuthConfig, SecretText, WebhookConfig};

/// `Authorization`, for one request.
pub(crate) struct Shown {
    pub(crate) header: HeaderValue,
    /// Another one may be had when it is refused: it was kept from earlier.
    pub(crate) is_replaceable: bool,
}

/// See the top of this file.
pub(crate) enum Authorization {
    None,
    Fixed(HeaderValue),
    OAuth2(Box<Tokens>),
}

impl Authorization {
    /// # Errors
    /// A text that says why TLS cannot be set up, or which secret cannot stand in a header.
    pub(crate) fn try_new(config: &WebhookConfig, hidden: &Hidden) -> Result<Self, String> {
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

    /// What to show, if anything.
    ///
    /// # Errors
    /// When a token cannot be had.
    pub(crate) async fn show(&self, deadline: Instant) -> Result<Option<Shown>, Refusal> {
        Ok(match self {
            Self::None => None,
            Self::Fixed(header) => Some(Shown { header: header.clone(), is_replaceable: false }),
            Self::OAuth2(tokens) => Some(tokens.take(None, deadline).await?),
        })
    }

    /// What to show instead of `refused`.
    ///
    /// # Errors
    /// As [`Authorization::show`].
    pub(crate) async fn replace(&self, refused: &Shown, deadline: Instant) -> Result<Option<Shown>, Refusal> {
        match self {
            Self::None | Self::Fixed(_) => self.show(deadline).await,
            Self::OAuth2(tokens) => tokens.take(Some(&refused.header), deadline).await.map(Some),
        }
    }
}

/// `Bearer TOKEN` (RFC 6750).
pub(crate) fn bearer(token: &SecretText) -> Result<HeaderValue, String> {
    header(&format!("Bearer {}", token.expose()))
}

pub(crate) fn header(text: &str) -> Result<HeaderValue, String> {
    let header = HeaderValue::try_from(text);
    let mut header = header.map_err(|_| "what `auth` says cannot stand in a header".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}
