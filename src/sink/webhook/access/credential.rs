//! The `Authorization` header of one request.

use reqwest::header::HeaderValue;

use crate::config::SecretText;

/// The `Authorization` header of one request.
pub(crate) struct Shown {
    pub(crate) header: HeaderValue,
    /// True if the token was cached, so a new one may be requested if it is refused.
    pub(crate) is_replaceable: bool,
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
