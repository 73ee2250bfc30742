//! The one way to speak HTTP outwards: bounded in time and size, no redirects, no URL in any error.

use std::error::Error;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};

/// How long a connection may take to stand, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest a `Retry-After` is obeyed: a typo at the other end must not silence us for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What every request calls itself.
pub const USER_AGENT: &str = concat!("b24relay/", env!("CARGO_PKG_VERSION"));

/// A client for `url`, whose requests end within `timeout`.
///
/// # Errors
/// A text that says why, when TLS is needed and cannot be set up.
pub fn build(url: &Url, timeout: Duration) -> Result<Client, String> {
    // Ring needs no cmake to build. A provider that is already there serves as well.
    rustls::crypto::ring::default_provider().install_default().ok();
    #[expect(clippy::disallowed_methods, reason = "this is the place that the rule points to")]
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .timeout(timeout)
        .redirect(redirect::Policy::none())
        .referer(false)
        .tcp_keepalive(Duration::from_secs(30));
    // Plain http needs no roots: a machine without any can still talk to itself.
    let builder = if url.scheme() == "https" { builder } else { builder.tls_certs_only([]) };
    builder.build().map_err(|error| {
        format!(
            "cannot set up TLS: {}; are CA certificates installed (package ca-certificates)?",
            explain(error)
        )
    })
}

/// What went wrong, in the words of its first cause and without the URL.
pub fn explain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_builder() {
        cause.to_string()
    } else if error.is_timeout() {
        "no whole answer in time".to_owned()
    } else if error.is_connect() {
        format!("cannot connect: {cause}")
    } else if error.is_body() || error.is_decode() {
        format!("the answer broke off: {cause}")
    } else {
        format!("no answer: {cause}")
    }
}

/// Why a body could not be read.
#[derive(Debug)]
pub enum BodyError {
    /// It is longer than the cap.
    TooLarge,
    /// The connection failed half-way, in words.
    Broken(String),
}

/// Reads a body of at most `cap` bytes.
///
/// # Errors
/// See [`BodyError`].
pub async fn read_body(mut response: Response, cap: usize) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > cap as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(|error| BodyError::Broken(explain(error)))? {
        if body.len() + chunk.len() > cap {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `Retry-After` in both its forms (seconds, HTTP date), at most an hour.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => until(text)?,
    };
    Some(delay.min(RETRY_AFTER_MAX))
}

/// `Date`: the other end's clock, in Unix milliseconds.
pub fn date_ms(headers: &HeaderMap) -> Option<i64> {
    let at: Timestamp = timestamp(headers.get(DATE)?.to_str().ok()?)?;
    Some(at.as_millisecond())
}

fn timestamp(date: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

fn until(date: &str) -> Option<Duration> {
    let at = timestamp(date)?;
    Some(SystemTime::from(at).duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn given(text: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        assert_eq!(given("7"), Some(Duration::from_secs(7)));
        assert_eq!(given("86400"), Some(RETRY_AFTER_MAX));
        assert_eq!(given("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(given("Fri, 01 Jan 2100 00:00:00 GMT"), Some(RETRY_AFTER_MAX));
        assert_eq!(given("-1"), None);
        assert_eq!(given("soon"), None);
    }
}
