//! `proxy`: the proxy between the relay and a host. Its URL may hold a password.

use std::fmt;

use b24_client::http::Via;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::config::parse::table::Table;
use crate::config::secrets::secret::{self, SecretValue};
use crate::config::secrets::secret_file::{SecretFiles, Shows};

/// `proxy`. Displays only scheme and host.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum ProxyConfig {
    /// Not given: use the proxy from the environment, except for hosts on this machine.
    #[default]
    Environment,
    /// `"none"`.
    None,
    /// The proxy at this URL.
    Url(Url),
}

impl ProxyConfig {
    /// The same choice in the type of the HTTP client.
    pub fn via(&self) -> Via {
        match self {
            Self::Environment => Via::Environment,
            Self::None => Via::Nothing,
            Self::Url(url) => Via::Proxy(url.clone()),
        }
    }

    /// Everything in it that is secret, for removing it from texts of foreign origin.
    pub fn expose_parts(&self) -> Vec<String> {
        let Self::Url(url) = self else { return Vec::new() };
        let password = url.password().unwrap_or_default();
        vec![password.to_owned(), percent_decode_str(password).decode_utf8_lossy().into_owned()]
    }
}

impl fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment"),
            Self::None => f.write_str("none"),
            Self::Url(url) => write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default()),
        }
    }
}

impl SecretValue for ProxyConfig {
    const SHOWS: Shows = Shows::Path;

    fn parse(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str =
            "must be `none` or the proxy's URL, http://HOST:PORT or http://USER:PASSWORD@HOST:PORT";
        if text == "none" {
            return Ok(Self::None);
        }
        let url = Url::parse(text).map_err(|_| SHAPE)?;
        let is_whole = url.has_host() && matches!(url.path(), "" | "/") && url.query().is_none();
        if !is_whole || url.fragment().is_some() || !matches!(url.scheme(), "http" | "https") {
            return Err(SHAPE);
        }
        Ok(Self::Url(url))
    }
}

/// Reads the key and reports violations. `None` if it is not given.
pub(crate) fn read(table: &mut Table<'_>, files: &SecretFiles) -> Option<ProxyConfig> {
    secret::take_given(table, ["proxy", "proxy_file"], files).map(|given| given.value)
}
