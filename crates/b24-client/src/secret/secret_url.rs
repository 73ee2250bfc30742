//! URLs that are secrets: only scheme and host are shown, never the path.

use std::fmt;

use percent_encoding::percent_decode_str;
use reqwest::Url;

/// Shorter words are not treated as secrets, because they occur in many texts.
pub const PART_MIN: usize = 4;

/// A URL whose path or query may contain a secret. `Display` and `Debug` show only scheme and host.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// Parses an absolute http or https URL without user name, password or fragment.
    ///
    /// # Errors
    /// Says what is wrong without repeating the text, which may be a secret.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !has_scheme(text) {
            return Err("must start with https://");
        }
        let url = Url::parse(text).map_err(|_| "is not a URL: see its host, and its port if it has one")?;
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
    /// Describes the error without repeating the text, which may be a secret in the wrong place.
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

    /// Wraps a URL that was parsed and checked.
    pub fn of(url: Url) -> Self {
        Self(url)
    }

    /// The URL itself, to build another one from it.
    pub fn into_url(self) -> Url {
        self.0
    }

    /// The URL itself, only for use in a request.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// Everything in it that may be a secret, as it stands there and decoded, the longest first: for removing
    /// it from texts of foreign origin.
    pub fn expose_parts(&self) -> Vec<String> {
        let path = self.0.path().trim_matches('/');
        let query = self.0.query().unwrap_or_default();
        // A name in the query is not a secret, but a word without `=` may be one.
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

    /// Host, with the port if it is not the default of the scheme.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether what is sent there travels in the clear over a network: http, and not to this machine.
    pub fn is_exposed(&self) -> bool {
        self.0.scheme() == "http" && !self.is_loopback()
    }

    /// True if requests stay on this machine, as with the sandbox.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }
}

fn has_scheme(text: &str) -> bool {
    ["https:", "http:"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
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

#[cfg(test)]
mod tests {
    use super::*;

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
