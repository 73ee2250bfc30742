//! Connections to a receiver or an authorization server, made as the configuration says.

use std::time::Duration;

use b24_client::http::{ClientBuildError, Networks, Pool, Route, Via};

use crate::config::{PrivateNetworks, ProxyConfig, SecretUrl, TlsConfig, TlsVersion, WebhookConfig};

/// Shorter than the idle timeout of most receivers and their load balancers. If a connection was closed
/// earlier, the request is sent again at once.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// A connection pool for `url`, with the settings in `config`.
pub(crate) fn pool(
    config: &WebhookConfig,
    url: &SecretUrl,
    timeout: Duration,
) -> Result<Pool, ClientBuildError> {
    let TlsConfig { authorities, identity, min_version, .. } = config.tls.clone();
    let route = Route {
        authorities,
        identity,
        tls_min: min_version.map(TlsVersion::version),
        via: via(config),
        networks: networks(config),
        http2: true,
        idle_max: Some(IDLE_MAX),
    };
    Pool::try_new(url.expose(), timeout, route)
}

fn networks(config: &WebhookConfig) -> Networks {
    match config.private_networks {
        PrivateNetworks::Allow => Networks::All,
        PrivateNetworks::Deny => Networks::Public,
    }
}

/// A proxy from the environment hides the address of the receiver, so it is not used if that address must be
/// checked.
pub(crate) fn via(config: &WebhookConfig) -> Via {
    match &config.proxy {
        ProxyConfig::Environment if networks(config) == Networks::Public => Via::Nothing,
        given => given.via(),
    }
}
