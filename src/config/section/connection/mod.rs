//! How to connect to a host: TLS and proxy. A sink has them for its receiver, a source or a portal for the portal.

pub(crate) mod proxy;
pub(crate) mod tls;

use std::collections::BTreeMap;

use b24_client::http::{Route, Via};

use crate::config::parse::table::Table;
use crate::config::secrets::secret_file::SecretFiles;
use proxy::ProxyConfig;
use tls::{TlsConfig, TlsVersion};

/// `tls` and `proxy` of a source, or of its portal where the source does not have them.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct ConnectionConfig {
    /// `tls`.
    pub tls: TlsConfig,
    /// `proxy`.
    pub proxy: ProxyConfig,
}

impl ConnectionConfig {
    /// The route to the portal.
    pub fn route(&self) -> Route {
        let TlsConfig { authorities, identity, min_version, .. } = self.tls.clone();
        Route {
            authorities,
            identity,
            tls_min: min_version.map(TlsVersion::version),
            via: self.via(),
            ..Route::default()
        }
    }

    /// The route to the authorization server. It has the same proxy, which may present the certificates of its own
    /// authority for all hosts; the client certificate is the portal's alone.
    pub fn authorization_route(&self) -> Route {
        Route { identity: None, ..self.route() }
    }

    /// The proxy to use.
    pub fn via(&self) -> Via {
        self.proxy.via()
    }
}

/// What `[portals."HOST"]` gives, by host.
pub(crate) type OfPortals = BTreeMap<String, RawConnection>;

/// The two as given, for a source or a portal.
#[derive(Clone, Default)]
pub(crate) struct RawConnection {
    tls: Option<TlsConfig>,
    proxy: Option<ProxyConfig>,
}

impl RawConnection {
    /// Reads the keys and reports violations.
    pub(crate) fn read(table: &mut Table<'_>, files: &SecretFiles) -> Self {
        Self {
            tls: table.given_table("tls", |table| tls::read(table, files)),
            proxy: proxy::read(table, files),
        }
    }

    /// The setting of a source, which falls back to that of its portal for each of the two.
    pub(crate) fn or(&self, portal: Option<&Self>) -> ConnectionConfig {
        let of_portal = portal.cloned().unwrap_or_default();
        ConnectionConfig {
            tls: self.tls.clone().or(of_portal.tls).unwrap_or_default(),
            proxy: self.proxy.clone().or(of_portal.proxy).unwrap_or_default(),
        }
    }
}
