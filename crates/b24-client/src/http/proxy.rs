//! Selects the proxy for a request. The same decision is used for requests and shown to the operator.
//!
//! Requests to this machine never use a proxy: a proxy elsewhere would receive the secrets of the URL and
//! connect to itself.

use std::fmt;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use super::build_error::ProxyError;
use super::networks::is_this_machine;

/// The name of a sink's proxy key in messages.
const OWN_KEY: &str = "proxy";

/// Longer values of variables are cut off in messages.
const SHOWN_MAX: usize = 100;

/// Where the proxy setting comes from.
#[derive(Clone, Default)]
pub enum Via {
    /// The proxy from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, if any.
    #[default]
    Environment,
    /// No proxy.
    Nothing,
    /// The proxy from the sink's own key. The URL contains its user name and password.
    Proxy(Url),
}

/// A proxy in use. Displays its address without the password, and where it was set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedProxy {
    url: Url,
    origin: &'static str,
}

impl NamedProxy {
    /// The variable or key that names it.
    pub fn origin(&self) -> &'static str {
        self.origin
    }

    /// The URL with user name and password.
    pub(super) fn expose(&self) -> &Url {
        &self.url
    }
}

impl fmt::Display for NamedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} (`{}`)", address(&self.url), self.origin)
    }
}

/// The rule that selects the proxy for every URL.
#[derive(Clone)]
pub(super) enum Rules {
    Nothing,
    Fixed(NamedProxy),
    Environment(Arc<Variables>),
}

impl Rules {
    #[expect(clippy::disallowed_methods, reason = "the proxy variables are read here, and nowhere else")]
    pub(super) fn of(via: &Via) -> Self {
        match via {
            Via::Environment => Self::Environment(Arc::new(Variables::read(|name| {
                std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            }))),
            Via::Nothing => Self::Nothing,
            Via::Proxy(url) => Self::Fixed(NamedProxy { url: url.clone(), origin: OWN_KEY }),
        }
    }

    /// The proxy for `url`.
    ///
    /// # Errors
    /// Names the invalid variable, with a hint.
    pub(super) fn proxy_to(&self, url: &Url) -> Result<Option<NamedProxy>, ProxyError> {
        match self {
            Self::Nothing => Ok(None),
            Self::Fixed(proxy) => Ok(Some(proxy.clone())),
            Self::Environment(variables) => variables.proxy_to(url),
        }
    }
}

/// The proxy for `url`.
///
/// # Errors
/// Names the invalid variable, with a hint.
pub fn proxy_to(url: &Url, via: &Via) -> Result<Option<NamedProxy>, ProxyError> {
    Rules::of(via).proxy_to(url)
}

/// The proxy variables of the environment.
pub(super) struct Variables {
    http: Option<Variable>,
    https: Option<Variable>,
    /// Matches every URL that `NO_PROXY` does not exempt.
    exemptions: Matcher,
}

struct Variable {
    name: &'static str,
    value: String,
}

impl Variables {
    fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().copied().find_map(|name| {
                let value = get(name)?.trim().to_owned();
                (!value.is_empty()).then_some(Variable { name, value })
            })
        };
        let exempt = first(&["NO_PROXY", "no_proxy"]).map_or_else(String::new, |found| found.value);
        Self {
            http: first(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            https: first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            exemptions: Matcher::builder().all("http://proxy.invalid").no(exempt).build(),
        }
    }

    fn proxy_to(&self, url: &Url) -> Result<Option<NamedProxy>, ProxyError> {
        let variable = if url.scheme() == "https" { &self.https } else { &self.http };
        let Some(Variable { name, value }) = variable.as_ref().filter(|_| !self.is_exempt(url)) else {
            return Ok(None);
        };
        let proxy = parse(value).map_err(|rule| {
            let (shown, host) = (shown(value), url.host_str().unwrap_or_default());
            ProxyError(format!(
                "`{name}` is `{shown}`, {rule}: set it to http://HOST:PORT or https://HOST:PORT, remove it, or add \
                 `{host}` to `NO_PROXY`"
            ))
        })?;
        Ok(Some(NamedProxy { url: proxy, origin: name }))
    }

    fn is_exempt(&self, url: &Url) -> bool {
        let is_matched = address(url).parse().is_ok_and(|uri| self.exemptions.intercept(&uri).is_some());
        is_this_machine(url) || !is_matched
    }
}

/// Parses the address of a proxy, in which the scheme is optional. The error describes what is invalid.
fn parse(value: &str) -> Result<Url, &'static str> {
    const SHAPE: &str = "which is not the address of a proxy";
    let value = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&value).map_err(|_| SHAPE)?;
    match url.scheme() {
        "http" | "https" => {}
        scheme if scheme.starts_with("socks") => return Err("a SOCKS proxy, which is not supported"),
        _ => return Err("whose scheme is not supported"),
    }
    // A password with an unencoded `/` is parsed as a path, and a part of it as the host.
    let is_split = url.path().contains('@') || url.query().is_some() || url.fragment().is_some();
    if is_split { Err(SHAPE) } else { Ok(url) }
}

/// The value of a variable without user name and password, even if it is malformed.
fn shown(value: &str) -> String {
    let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("***@{host}"));
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{rest}").escape_debug().take(SHOWN_MAX).collect()
}

/// Scheme, host and port.
fn address(url: &Url) -> String {
    let port = url.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(variables: &[(&str, &str)], url: &str) -> Result<Option<String>, ProxyError> {
        let get = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxy = Variables::read(get).proxy_to(&url.parse().unwrap());
        proxy.map(|proxy| proxy.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let variables =
            [("ALL_PROXY", "socks5://p:1"), ("http_proxy", "nonsense://"), ("HTTPS_PROXY", "http://p:1")];
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "127.1",
            "0x7f.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:9]",
            "0.0.0.0",
            "[::]",
        ] {
            for scheme in ["http", "https"] {
                assert_eq!(decided(&variables, &format!("{scheme}://{host}:8080/x")), Ok(None), "{host}");
            }
        }
    }

    #[test]
    fn the_proxy_is_named_with_its_variable_and_without_its_password() {
        let named = |text: &str| Ok(Some(text.to_owned()));
        let both = [("HTTPS_PROXY", "http://me:s3cr3t@proxy.test:3128/"), ("all_proxy", "other.test:8080")];
        assert_eq!(
            decided(&both, "https://a.test/"),
            named("the proxy http://proxy.test:3128 (`HTTPS_PROXY`)")
        );
        assert_eq!(decided(&both, "http://a.test/"), named("the proxy http://other.test:8080 (`all_proxy`)"));
        let empty = [("HTTPS_PROXY", " "), ("https_proxy", "https://proxy.test")];
        assert_eq!(
            decided(&empty, "https://a.test/"),
            named("the proxy https://proxy.test:443 (`https_proxy`)")
        );
        assert_eq!(decided(&empty, "http://a.test/"), Ok(None));
    }

    #[test]
    fn what_no_proxy_names_is_reached_directly() {
        for (exempt, is_exempt) in [
            ("a.test", true),
            (".a.test", true),
            ("b.test, a.test", true),
            ("*", true),
            ("test", true),
            ("b.test", false),
            ("xa.test", false),
            ("", false),
        ] {
            let variables = [("HTTPS_PROXY", "http://proxy.test:1"), ("no_proxy", exempt)];
            let proxy = decided(&variables, "https://hook.a.test/").unwrap();
            assert_eq!(proxy.is_none(), is_exempt, "{exempt}");
        }
        let variables = [("HTTP_PROXY", "http://proxy.test:1"), ("NO_PROXY", "10.0.0.0/8")];
        assert_eq!(decided(&variables, "http://10.1.2.3/"), Ok(None));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_an_error_only_where_it_applies() {
        for value in [
            "socks5://me:s3cr3t@proxy.test:1080",
            "socks5h://proxy.test",
            "ftp://proxy.test",
            "http://",
            "http://me:s3cr3t/x@proxy.test:1",
            "me:s3cr3t@",
            "http://me:s3#cr3t@proxy.test",
            "not a proxy",
        ] {
            let variables = [("ALL_PROXY", value), ("NO_PROXY", "spared.test")];
            let error = decided(&variables, "https://a.test/").unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("`ALL_PROXY` is `") && error.contains("NO_PROXY"), "{error}");
            assert!(!error.contains("s3") && !error.contains("cr3t"), "{error}");
            for direct in ["https://spared.test/", "http://localhost/"] {
                assert_eq!(decided(&variables, direct), Ok(None), "{value}");
            }
            let unrelated = [("HTTP_PROXY", value)];
            assert_eq!(decided(&unrelated, "https://a.test/"), Ok(None), "{value}");
        }
    }
}
