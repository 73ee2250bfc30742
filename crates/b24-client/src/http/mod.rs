//! The HTTP client for all outgoing requests: limits on time and size, no redirects, no URL in any error.

mod build_error; // why there is no client
mod cause; // an error's cause by its type
mod networks; // public addresses
mod pool; // connections, renewed in time
mod proxy;
mod request_error; // why a host did not answer
mod retry_after; // times in response headers

use std::error::Error;
use std::time::Duration;

use reqwest::{
    Certificate, Client, ClientBuilder, Identity, Proxy, Response, StatusCode, Url, redirect, tls,
};

pub use build_error::{ClientBuildError, ProxyError};
pub use cause::cause;
pub use networks::{NotPublic, address, is_public, is_this_machine, is_within};
pub use pool::{Failure, Pool, through};
use proxy::Rules;
pub use proxy::{NamedProxy, Via, proxy_to};
pub use request_error::{Obstacle, Peer, RequestError, request_error};
pub use retry_after::{date_ms, retry_after};

/// The timeout for opening a connection, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The `User-Agent` of every request.
pub const USER_AGENT: &str = concat!("b24relay/", env!("CARGO_PKG_VERSION"));

/// How long an HTTP/2 connection may be silent during a request before the client sends a ping, and how long
/// the reply to the ping may take.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How to connect to a host. The default is HTTP/1.1 with the system's authorities and the proxy from the
/// environment.
#[derive(Clone, Default)]
pub struct Route {
    /// Certificates of authorities that are trusted in addition to the system's.
    pub authorities: Vec<Certificate>,
    /// The client certificate, for hosts that request one.
    pub identity: Option<Identity>,
    /// The minimum TLS version; 1.2 if `None`.
    pub tls_min: Option<tls::Version>,
    /// The proxy to use.
    pub via: Via,
    /// The networks in which the host may be.
    pub networks: Networks,
    /// Use HTTP/2 if the host offers it.
    pub http2: bool,
    /// How long an idle connection is kept; 90 seconds if `None`.
    pub idle_max: Option<Duration>,
}

/// The networks to which connections are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Networks {
    /// All networks.
    #[default]
    All,
    /// The public internet. A proxy is not allowed, because only the side that connects can check the
    /// address.
    Public,
}

/// A client for `url` with the default route, whose requests time out after `timeout`. For more than a few
/// requests, use [`Pool`].
pub fn build(url: &Url, timeout: Duration) -> Result<Client, ClientBuildError> {
    build_with(url, timeout, &Route::default(), &Rules::of(&Via::Environment))
}

/// A client for `url` with the given `route` and the proxy from `rules`, whose requests time out after
/// `timeout`.
fn build_with(
    url: &Url,
    timeout: Duration,
    route: &Route,
    rules: &Rules,
) -> Result<Client, ClientBuildError> {
    // Ring needs no cmake to build. If another provider is already installed, it is used.
    rustls::crypto::ring::default_provider().install_default().ok();
    #[expect(clippy::disallowed_methods, reason = "this is the place that the rule points to")]
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .timeout(timeout)
        .redirect(redirect::Policy::none())
        .referer(false)
        .tcp_keepalive(Duration::from_secs(30));
    let proxy = rules.proxy_to(url)?;
    let is_tls_needed =
        url.scheme() == "https" || proxy.is_some_and(|proxy| proxy.expose().scheme() == "https");
    let builder = with_tls(builder, is_tls_needed, route);
    let rules = rules.clone();
    let proxy = Proxy::custom(move |url| Some(rules.proxy_to(url).ok()??.expose().clone()));
    with_route(builder, route).proxy(proxy).build().map_err(|error| ClientBuildError::Tls(explain(error)))
}

fn with_route(builder: ClientBuilder, route: &Route) -> ClientBuilder {
    let builder = match route.networks {
        Networks::All => builder,
        Networks::Public => builder.dns_resolver(networks::PublicResolver),
    };
    let builder = if route.http2 {
        builder.http2_keep_alive_interval(PING_INTERVAL).http2_keep_alive_timeout(PING_TIMEOUT)
    } else {
        builder.http1_only()
    };
    let builder = builder.connector_layer(pool::Noticing);
    route.idle_max.into_iter().fold(builder, ClientBuilder::pool_idle_timeout)
}

fn with_tls(builder: ClientBuilder, is_needed: bool, route: &Route) -> ClientBuilder {
    if !is_needed {
        // Plain HTTP needs no root certificates, so it works on a machine without any.
        return builder.tls_certs_only([]);
    }
    let builder = builder.tls_certs_merge(route.authorities.iter().cloned());
    let builder = route.identity.iter().cloned().fold(builder, ClientBuilder::identity);
    route.tls_min.into_iter().fold(builder, ClientBuilder::tls_version_min)
}

/// The text of the first cause of an error, without the URL.
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

/// The reason why a body could not be read.
#[derive(Debug)]
pub enum BodyError {
    /// The body is longer than the limit.
    TooLarge,
    /// The connection failed during the transfer, with a description.
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

/// Formats a status for people, with its name if it has one.
pub fn status_words(status: StatusCode) -> String {
    let name = status.canonical_reason().map(|name| format!(" {name}"));
    format!("{}{}", status.as_u16(), name.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_without_a_name_is_its_number() {
        let words = |status| status_words(StatusCode::from_u16(status).unwrap());
        assert_eq!((words(503).as_str(), words(520).as_str()), ("503 Service Unavailable", "520"));
    }
}
