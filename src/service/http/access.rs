//! Access control. Without a token, local clients have access, but other sites' web pages do not: a browser is
//! recognized by the host name in its request.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use crate::config::SecretText;

/// The access rule of one server.
#[derive(Clone)]
pub struct Access(Option<SecretText>);

/// What a request may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Everything.
    Granted,
    /// Only the health in one word; the request has no token.
    TokenNeeded,
    /// Only the health in one word; the request has a wrong token.
    WrongToken,
    /// Only the health in one word; the request names a foreign host.
    WrongName,
}

impl Access {
    /// Allows clients with `token`; without a token, all clients that can connect.
    pub fn new(token: Option<SecretText>) -> Self {
        Self(token)
    }

    /// Decides on a request.
    pub fn judge(&self, headers: &HeaderMap, uri: &Uri) -> Verdict {
        match &self.0 {
            Some(_) if !headers.contains_key(AUTHORIZATION) => Verdict::TokenNeeded,
            Some(token) if presented(headers).is_some_and(|other| is_same(token.expose(), &other)) => {
                Verdict::Granted
            }
            Some(_) => Verdict::WrongToken,
            None if asks_for_us(headers, uri) => Verdict::Granted,
            None => Verdict::WrongName,
        }
    }
}

/// The token in the request: a bearer token, or a password with any user name.
fn presented(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    let pair = BASE64_STANDARD.decode(value.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    Some(String::from_utf8(pair).ok()?.split_once(':')?.1.to_owned())
}

/// Compares in a time that does not depend on how much the two have in common.
fn is_same(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|text| Sha256::digest(text.as_bytes()));
    one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other)) == 0
}

/// Only accepts IP addresses and `localhost`: anyone can make another name resolve to this machine.
fn asks_for_us(headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next().map(HeaderValue::to_str), hosts.next()) {
        (Some(Ok(host)), None) => Some(host),
        (None, _) => uri.authority().map(Authority::as_str),
        // The header is not text, or there are two of them.
        _ => return false,
    };
    let Some(host) = host else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_address =
        |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    name.eq_ignore_ascii_case("localhost") || is_address(name) || is_address(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_token_opens_as_bearer_and_as_password() {
        let access = Access::new(Some(SecretText::new("0123456789abcdef")));
        let basic = BASE64_STANDARD.encode("anybody:0123456789abcdef");
        for right in
            ["Bearer 0123456789abcdef".to_owned(), "bearer 0123456789abcdef".into(), format!("Basic {basic}")]
        {
            assert_eq!(access.judge(&with("authorization", &right), &Uri::default()), Verdict::Granted);
        }
        let user = BASE64_STANDARD.encode("0123456789abcdef:");
        for wrong in [
            "Bearer 0123456789abcdeF",
            "Bearer",
            "Bearer ",
            "Basic !",
            &format!("Basic {user}"),
            "0123456789abcdef",
        ] {
            let verdict = access.judge(&with("authorization", wrong), &Uri::default());
            assert_eq!(verdict, Verdict::WrongToken, "{wrong}");
        }
        assert_eq!(access.judge(&HeaderMap::new(), &Uri::default()), Verdict::TokenNeeded);
    }

    #[test]
    fn without_a_token_a_foreign_name_is_refused() {
        let access = Access::new(None);
        for right in ["localhost", "localhost:8687", "127.0.0.1:8687", "[::1]:8687", "::1"] {
            assert_eq!(access.judge(&with("host", right), &Uri::default()), Verdict::Granted, "{right}");
        }
        for wrong in
            ["evil.example", "evil.example:8687", "localhost.evil.example", "127.0.0.1.evil.example:80", ""]
        {
            assert_eq!(access.judge(&with("host", wrong), &Uri::default()), Verdict::WrongName, "{wrong}");
        }
        let mut two = with("host", "localhost");
        two.append("host", HeaderValue::from_static("evil.example"));
        let mut no_text = HeaderMap::new();
        no_text.insert("host", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        for wrong in [two, no_text] {
            assert_eq!(access.judge(&wrong, &Uri::default()), Verdict::WrongName, "{wrong:?}");
        }
    }
}
