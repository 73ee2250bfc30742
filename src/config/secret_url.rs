//! URLs that are secrets: they show their scheme and host, never their path.

use std::fmt;

use percent_encoding::percent_decode_str;
use reqwest::Url;

/// Shorter words are no secrets, and would be found everywhere.
const PART_MIN: usize = 4;

/// A URL whose path or query may carry a secret. `Display` and `Debug` show scheme and host only.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// Parses an absolute http or https URL without user name, password or fragment.
    ///
    /// # Errors
    /// Says what is wrong without repeating the text, which may be a secret.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "is not a URL")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("must start with https://");
        }
        if !url.has_host() {
            return Err("has no host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or password");
        }
        if url.fragment().is_some() {
            return Err("must not hold a `#` part");
        }
        Ok(Self(url))
    }

    /// Parses the address of a whole server, `https://HOST`.
    ///
    /// # Errors
    /// Says what is wrong without repeating the text, which may be a secret put in the wrong place.
    pub fn parse_origin(text: &str) -> Result<Self, &'static str> {
        if !text.contains("://") {
            return Err("must start with https://, as in https://HOST");
        }
        let url = Self::parse(text)?;
        if url.0.path() != "/" || url.0.query().is_some() {
            return Err("must be https://HOST alone, without a path or a `?` part");
        }
        Ok(url)
    }

    /// The URL itself, for the request alone.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// Everything in it that may be a secret, as it stands there and decoded, the longest first: for removing
    /// it from texts of foreign origin.
    pub fn expose_parts(&self) -> Vec<String> {
        let path = self.0.path().trim_matches('/');
        let query = self.0.query().unwrap_or_default();
        // A name in the query is no secret, but a word that stands there alone may be.
        let values = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let whole = format!("/{path}?{query}");
        let written = [whole.as_str(), self.0.path(), path, query].into_iter();
        let mut parts: Vec<String> = written
            .chain(path.split('/'))
            .chain(values)
            .flat_map(|part| [part.to_owned(), percent_decode_str(part).decode_utf8_lossy().into_owned()])
            .flat_map(|part| [part.replace('/', "\\/"), part])
            .filter(|part| part.chars().count() >= PART_MIN)
            .collect();
        parts.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        parts.dedup();
        parts
    }

    /// Host, with the port when it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether what is sent there travels in the clear over a network: http, and not to this machine.
    pub fn is_exposed(&self) -> bool {
        self.0.scheme() == "http" && !self.is_loopback()
    }

    /// Whether it stays on this machine, as the sandbox does.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/***", self.0.scheme(), self.authority())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An incoming webhook, `https://HOST/rest/USER_ID/CODE/` (PORTAL.md 1.1): address and credential
/// in one. Shows itself as `https://HOST/rest/USER_ID/***`.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    base: SecretUrl,
    user_id: u64,
    code: String,
}

impl WebhookUrl {
    /// Parses the URL that the portal shows when the webhook is created, with or without the final slash.
    ///
    /// # Errors
    /// Says what is wrong without repeating the text, which is a secret.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "must look like https://HOST/rest/USER_ID/CODE/";
        let mut url = SecretUrl::parse(text)?.0;
        if url.query().is_some() {
            return Err("must not hold a `?` part");
        }
        let (user_id, code) = {
            let parts: Vec<&str> = url.path().trim_end_matches('/').split('/').collect();
            let ["", "rest", user_id, code] = parts[..] else { return Err(SHAPE) };
            (user_id.parse().map_err(|_| SHAPE)?, code.to_owned())
        };
        if code.is_empty() || user_id == 0 {
            return Err(SHAPE);
        }
        url.set_path(&format!("/rest/{user_id}/{code}/"));
        Ok(Self { base: SecretUrl(url), user_id, code })
    }

    /// The address of one method, for the request alone.
    pub fn expose_method(&self, method: &str) -> Url {
        let mut url = self.base.0.clone();
        url.set_path(&format!("{}{method}", url.path()));
        url
    }

    /// The secret part, for removing it from texts of foreign origin.
    pub fn expose_code(&self) -> &str {
        &self.code
    }

    /// The address without its secret part.
    pub fn url(&self) -> &SecretUrl {
        &self.base
    }

    /// The user whose it is.
    pub fn user_id(&self) -> u64 {
        self.user_id
    }

    /// The queue it reads: portal and user (PORTAL.md 2.4), as recorded in the state file.
    pub fn identity(&self) -> String {
        format!("{}/user/{}", self.base.authority(), self.user_id)
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/rest/{}/***", self.base.0.scheme(), self.base.authority(), self.user_id)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_url_is_taken_apart_and_hides_its_code() {
        for text in ["https://a.example/rest/12/s3cr3t", "https://a.example/rest/12/s3cr3t/"] {
            let url = WebhookUrl::parse(text).unwrap();
            assert_eq!(url.identity(), "a.example/user/12");
            assert_eq!(url.expose_method("profile").as_str(), "https://a.example/rest/12/s3cr3t/profile");
            assert_eq!(
                format!("{url} {url:?}"),
                "https://a.example/rest/12/*** https://a.example/rest/12/***"
            );
        }
    }

    #[test]
    fn what_is_no_webhook_url_is_refused_without_repeating_it() {
        for text in [
            "s3cr3t",
            "ftp://a.example/rest/12/s3cr3t/",
            "https://a.example/rest/12/",
            "https://a.example/rest/0/s3cr3t/",
            "https://a.example/rest/abc/s3cr3t/",
            "https://a.example/rest/12/s3cr3t/profile",
            "https://a.example/rest/12/s3cr3t/?a=1",
            "https://a.example/rest/12/s3cr3t/#a",
            "https://me:s3cr3t@a.example/rest/12/s3cr3t/",
        ] {
            assert!(!WebhookUrl::parse(text).unwrap_err().contains("s3cr3t"), "{text}");
        }
    }

    #[test]
    fn every_part_that_may_be_secret_is_known_in_every_spelling() {
        let url = SecretUrl::parse("https://a.example/hook/s3%2Fcr3t?lonely&token=t%20ken&a=b").unwrap();
        let parts = url.expose_parts();
        for part in ["s3%2Fcr3t", "s3/cr3t", "s3\\/cr3t", "t%20ken", "t ken", "lonely", "hook"] {
            assert!(parts.iter().any(|known| known == part), "no {part} in {parts:?}");
        }
        for part in ["token", "a", "b", "/", "", "a.example"] {
            assert!(parts.iter().all(|known| known != part), "{part} in {parts:?}");
        }
        assert!(parts.is_sorted_by_key(|part| std::cmp::Reverse(part.len())));
        assert_eq!(SecretUrl::parse("https://a.example/").unwrap().expose_parts(), Vec::<String>::new());
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host_and_nothing_else() {
        for text in ["https://a.example", "https://A.example:443/", "http://127.0.0.1:80"] {
            assert_eq!(SecretUrl::parse_origin(text).unwrap().expose().path(), "/", "{text}");
        }
        for text in [
            "a.example",
            "localhost:8080",
            "https:a.example",
            "ftp://a.example",
            "https://a.example/s3cr3t",
            "https://a.example/rest/1/s3cr3t/",
            "https://a.example/?s3cr3t",
            "https://a.example/#s3cr3t",
            "https://me:s3cr3t@a.example",
            "s3cr3t",
        ] {
            assert!(!SecretUrl::parse_origin(text).unwrap_err().contains("s3cr3t"), "{text}");
        }
    }

    #[test]
    fn only_plain_http_over_a_network_is_exposed() {
        for (text, exposed) in [
            ("https://a.example/x", false),
            ("http://a.example/x", true),
            ("http://127.0.0.9:80/x", false),
            ("http://[::1]:80/x", false),
            ("http://localhost/x", false),
            ("http://localhost.example/x", true),
        ] {
            assert_eq!(SecretUrl::parse(text).unwrap().is_exposed(), exposed, "{text}");
        }
    }
}
