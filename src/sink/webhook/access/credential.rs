//! The `Authorization` header of one request.

use reqwest::header::HeaderValue;

use crate::config::SecretText;
use crate::sink::contract::BuildError;

/// The `Authorization` header of one request.
pub(crate) struct Shown {
    pub(crate) header: HeaderValue,
    /// True if the token was cached, so a new one may be requested if it is refused.
    pub(crate) is_replaceable: bool,
}

/// `Bearer TOKEN` (RFC 6750).
pub(crate) fn bearer(token: &SecretText) -> Result<HeaderValue, BuildError> {
    header(&format!("Bearer {}", token.expose()))
}

pub(crate) fn header(text: &str) -> Result<HeaderValue, BuildError> {
    let mut header = HeaderValue::try_from(text).map_err(|_| BuildError::Credential)?;
    header.set_sensitive(true);
    Ok(header)
}
