//! Responses and errors that come from something between us and a portal or authorization server: a web page,
//! a redirect, a proxy, a certificate. A portal's own refusal has a code; none of these has one.

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};

use crate::class::{Class, Hint, Verdict};
use crate::http::{Obstacle, RequestError};

/// Describes a response without a usable body: whose response was expected, and which host was called.
pub(crate) fn describe(whose: &str, called: &Url, status: u16, headers: &HeaderMap, body: &[u8]) -> String {
    if status == 407 {
        return "the proxy wants a user name and a password (HTTP 407)".to_owned();
    }
    if (300..400).contains(&status) {
        // The path of the new address may contain the secret too.
        let target = headers.get(LOCATION).and_then(|to| called.join(to.to_str().ok()?).ok());
        let target = target.filter(Url::has_host).map(|to| to.origin().ascii_serialization());
        return match target {
            Some(target) => {
                format!("a redirect to {target} (not followed) instead of {whose} answer (HTTP {status})")
            }
            None => format!("a redirect without an address instead of {whose} answer (HTTP {status})"),
        };
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let shown = if kind.is_empty() { String::new() } else { format!(", {kind}") };
    let body = body.trim_ascii_start();
    let what = if body.is_empty() {
        "an empty answer"
    } else if body.starts_with(b"<") || kind.eq_ignore_ascii_case("text/html") {
        "a web page"
    } else if body.starts_with(b"{") || body.starts_with(b"[") {
        "other JSON"
    } else {
        "text that is not JSON"
    };
    format!("{what} instead of {whose} answer (HTTP {status}{shown})")
}

/// The verdict on `trouble` on the way to the host.
pub(crate) fn verdict(trouble: &RequestError) -> Verdict {
    match trouble.obstacle {
        Obstacle::Network => Verdict::new(Class::Retry, Hint::NONE),
        // A load balancer or proxy that is still starting reports this too.
        Obstacle::Proxy | Obstacle::Tls => Verdict::soon(Class::RetryBounded, Hint::NONE),
        Obstacle::Certificate | Obstacle::Setting => Verdict::soon(Class::Operator, Hint::NONE),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn told(status: u16, header: Option<(HeaderName, &'static str)>, body: &str) -> String {
        let called = "https://portal.example/rest/1/c0de/profile".parse().unwrap();
        let headers = header.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
        describe("the portal's", &called, status, &headers.collect(), body.as_bytes())
    }

    #[test]
    fn whatever_is_not_the_portals_answer_is_named_for_what_it_is() {
        let typed = |kind| Some((CONTENT_TYPE, kind));
        let to = |address| Some((LOCATION, address));
        for (status, header, body, expected) in [
            (
                403,
                typed("text/html; charset=utf-8"),
                "<html>",
                "a web page instead of the portal's answer (HTTP 403, text/html)",
            ),
            (200, None, " \n<html>", "a web page instead of the portal's answer (HTTP 200)"),
            (405, None, "", "an empty answer instead of the portal's answer (HTTP 405)"),
            (
                404,
                typed("application/json"),
                "{\"a\":1}",
                "other JSON instead of the portal's answer (HTTP 404, application/json)",
            ),
            (
                404,
                typed("text/plain"),
                "default backend",
                "text that is not JSON instead of the portal's answer (HTTP 404, text/plain)",
            ),
            (
                302,
                to("https://login.wifi.example/?back=/rest/1/c0de/"),
                "",
                "a redirect to https://login.wifi.example (not followed) instead of the portal's answer (HTTP 302)",
            ),
            (
                307,
                to("/maintenance.html"),
                "",
                "a redirect to https://portal.example (not followed) instead of the portal's answer (HTTP 307)",
            ),
            (302, None, "<html>", "a redirect without an address instead of the portal's answer (HTTP 302)"),
            (
                302,
                to("javascript:x"),
                "",
                "a redirect without an address instead of the portal's answer (HTTP 302)",
            ),
            (407, typed("text/html"), "<html>", "the proxy wants a user name and a password (HTTP 407)"),
        ] {
            assert_eq!(told(status, header, body), expected);
        }
    }
}
