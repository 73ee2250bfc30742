//! What is shown to a receiver that wants to know who we are: always the same, or a token that has to be fetched.

use reqwest::header::HeaderValue;
use tokio::time::Instant;

use crate::config::{AuthConfig, WebhookConfig};
use crate::sink::contract::BuildError;
use crate::sink::webhook::access::credential::Shown;
use crate::sink::webhook::access::credential::bearer;
use crate::sink::webhook::access::credential::header;
use crate::sink::webhook::access::tokens::{Refusal, Tokens};
use crate::sink::webhook::redactor::{Redactor, basic};

/// The authorization for one receiver.
pub(crate) enum Authorization {
    None,
    Fixed(HeaderValue),
    OAuth2(Box<Tokens>),
}

impl Authorization {
    pub(crate) fn try_new(config: &WebhookConfig, redactor: &Redactor) -> Result<Self, BuildError> {
        let Some(auth) = &config.auth else { return Ok(Self::None) };
        Ok(match auth {
            AuthConfig::Basic { user, password } => {
                Self::Fixed(header(&format!("Basic {}", basic(user.expose(), password.expose())))?)
            }
            AuthConfig::Bearer(token) => Self::Fixed(bearer(token)?),
            AuthConfig::OAuth2(client) => {
                Self::OAuth2(Box::new(Tokens::try_new(config, client, redactor.clone())?))
            }
        })
    }

    /// The header to send, if any.
    ///
    /// # Errors
    /// If no token is available.
    pub(crate) async fn show(&self, deadline: Instant) -> Result<Option<Shown>, Refusal> {
        Ok(match self {
            Self::None => None,
            Self::Fixed(header) => Some(Shown { header: header.clone(), is_replaceable: false }),
            Self::OAuth2(tokens) => Some(tokens.take(None, deadline).await?),
        })
    }

    /// The header to send instead of `refused`.
    pub(crate) async fn replace(&self, refused: &Shown, deadline: Instant) -> Result<Option<Shown>, Refusal> {
        match self {
            Self::None | Self::Fixed(_) => self.show(deadline).await,
            Self::OAuth2(tokens) => tokens.take(Some(&refused.header), deadline).await.map(Some),
        }
    }
}
