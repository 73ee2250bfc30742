//! `sinks.NAME.private_networks`: whether a receiver may be on a network other than the public internet.

use crate::config::parse::enums::words;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::section::connection::proxy::ProxyConfig;

/// `private_networks`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum PrivateNetworks {
    /// `"allow"`.
    #[default]
    Allow,
    /// `"deny"`.
    Deny,
}

words!(PrivateNetworks: "allow" => Allow, or "deny" => Deny);

/// Reads the key and reports violations. Behind a proxy, the relay cannot see the address of the receiver.
pub(crate) fn read(table: &mut Table<'_>, proxy: &ProxyConfig) -> PrivateNetworks {
    let networks = table.take_or("private_networks", value::choice, PrivateNetworks::default());
    if networks == PrivateNetworks::Deny && matches!(proxy, ProxyConfig::Url(_)) {
        let text = "cannot be kept through a proxy, which finds the receiver's address by itself: let the proxy \
                    refuse private networks and remove this, or remove `proxy`";
        table.report("private_networks", text);
    }
    networks
}
