//! One portal as all its sources share it: where it lives now, and how much it may be asked.
//!
//! A cloud portal that was renamed sends its callers on (PORTAL.md 1.5). The new address is followed
//! only where nothing but the host differs, and remembered once the portal has answered there.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use tracing::warn;

use super::budget::{Budget, Purpose};
use super::memory::Memory;
use crate::config::{RateConfig, SecretUrl};

/// See the top of this file.
pub struct Site {
    /// The address in the configuration: what the portal is known by, whatever it is called now.
    address: SecretUrl,
    rate: Option<RateConfig>,
    budget: Budget,
    home: Mutex<Home>,
    memory: Arc<dyn Memory>,
}

/// Where the portal lives now.
struct Home {
    /// Scheme, host and port alone: the rest of an address may be a secret.
    origin: Url,
    /// What answers there may not be the portal: the configured address is asked again.
    is_doubted: bool,
}

impl Site {
    /// The portal at `address`, which bears `rate`.
    ///
    /// # Errors
    /// Says why its remembered address cannot be read.
    pub async fn open(
        address: &SecretUrl,
        rate: Option<RateConfig>,
        memory: Arc<dyn Memory>,
    ) -> Result<Self, String> {
        let home = memory.recall(&home_key(&address.authority())).await?;
        // What is no address any more is as good as forgotten: the portal will send us on again.
        let home: Option<Url> = home.and_then(|home| home.parse().ok());
        let origin = origin_of(home.as_ref().unwrap_or(address.expose()));
        let home = Mutex::new(Home { origin, is_doubted: false });
        Ok(Self { address: address.clone(), rate, budget: Budget::new(rate), home, memory })
    }

    /// Whether it is the portal at `address` and bears `rate`; what of the address may be a secret does not matter.
    pub fn is_at(&self, address: &SecretUrl, rate: Option<RateConfig>) -> bool {
        self.rate == rate && origin_of(self.address.expose()) == origin_of(address.expose())
    }

    /// What it is known by.
    pub fn address(&self) -> &SecretUrl {
        &self.address
    }

    /// The least time between two polls of all sources together; `None` when there is no limit.
    pub fn poll_interval(&self) -> Option<std::time::Duration> {
        self.budget.poll_interval()
    }

    /// Waits for a turn to call.
    pub async fn admit(&self, purpose: Purpose) {
        self.budget.admit(purpose).await;
    }

    /// How many turns were taken so far.
    pub fn turns(&self) -> u64 {
        self.budget.turns()
    }

    /// It has refused a call for the rate.
    pub fn refused_for_rate(&self) {
        self.budget.refused();
    }

    /// `url`, which has the configured host, where the portal lives now.
    pub fn locate(&self, url: Url) -> Url {
        let home = self.home();
        if home.is_doubted { url } else { with_host_of(url, &home.origin) }
    }

    /// Nobody answers at the new address, or not as our portal does. The old one knows better, if anybody
    /// does.
    pub fn doubt_home(&self) {
        self.home().is_doubted = true;
    }

    /// The portal has answered at `url`: it lives at that host, for all its sources, until it moves again.
    pub async fn settle(&self, url: &Url) {
        let home = with_host_of(origin_of(self.address.expose()), url);
        let is_known = self.home().enter(&home);
        if is_known {
            return;
        }
        let (portal, moved_to) = (self.address.authority(), home.authority().to_owned());
        if home == origin_of(self.address.expose()) {
            warn!(portal, "the portal is back at the address in the configuration");
        } else {
            warn!(
                portal,
                moved_to,
                "the portal has another address now, which is used from here on: put it into the configuration"
            );
        }
        if let Err(error) = self.memory.keep(&home_key(&portal), home.as_str()).await {
            warn!(portal, error, "cannot remember the portal's new address");
        }
    }

    /// Whether the next good answer tells where the portal lives.
    pub fn is_home_doubted(&self) -> bool {
        self.home().is_doubted
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home {
    /// Moves in at `origin`; says whether it was the home already.
    fn enter(&mut self, origin: &Url) -> bool {
        self.is_doubted = false;
        let is_known = self.origin == *origin;
        self.origin.clone_from(origin);
        is_known
    }
}

/// Under which key the new address of the portal once at `authority` is kept.
pub fn home_key(authority: &str) -> String {
    format!("home/{authority}")
}

fn origin_of(url: &Url) -> Url {
    let mut origin = url.clone();
    origin.set_path("/");
    origin.set_query(None);
    origin
}

fn with_host_of(mut url: Url, other: &Url) -> Url {
    // Both are http or https, so neither can refuse a host or a port.
    let set = url.set_host(other.host_str()).is_ok() && url.set_port(other.port()).is_ok();
    debug_assert!(set, "http URLs take any host and port");
    url
}

/// Where a call to `called` is to be repeated when the portal has sent it to `location`: there, if that is
/// `called` with nothing but another host, https and out on the network; or on this machine when the
/// caller is there already, as with the sandbox. Whether it is the same portal, its answer will tell.
pub fn moved(called: &Url, location: &str) -> Option<Url> {
    let target = called.join(location).ok()?;
    let is_elsewhere = (target.host(), target.port()) != (called.host(), called.port());
    let mut same = called.clone();
    same.set_host(target.host_str()).ok()?;
    same.set_port(target.port()).ok()?;
    let is_trusted = match called.scheme() {
        "https" => !is_private(&target),
        _ => is_private(called) && is_private(&target),
    };
    (is_elsewhere && is_trusted && same == target).then_some(target)
}

/// Whether a host is an address inside somebody's network, by its literal form.
fn is_private(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follows(called: &str, location: &str) -> bool {
        moved(&called.parse().unwrap(), location).is_some()
    }

    #[test]
    fn only_the_same_call_on_another_https_host_is_followed() {
        const CALLED: &str = "https://old.bitrix24.com/rest/1/code/im.v2.Event.get";
        for (location, expected) in [
            ("https://new.bitrix24.com/rest/1/code/im.v2.Event.get", true),
            ("https://new.bitrix24.com:8443/rest/1/code/im.v2.Event.get", true),
            ("//new.bitrix24.com/rest/1/code/im.v2.Event.get", true),
            ("http://new.bitrix24.com/rest/1/code/im.v2.Event.get", false),
            ("https://new.bitrix24.com/rest/1/code/", false),
            ("https://new.bitrix24.com/auth/?back=/rest/1/code/im.v2.Event.get", false),
            ("https://new.bitrix24.com/rest/1/code/im.v2.Event.get?x=1", false),
            ("https://me:pw@new.bitrix24.com/rest/1/code/im.v2.Event.get", false),
            ("https://127.0.0.1/rest/1/code/im.v2.Event.get", false),
            ("https://10.0.0.7/rest/1/code/im.v2.Event.get", false),
            ("https://[::1]/rest/1/code/im.v2.Event.get", false),
            ("https://[::ffff:192.168.0.1]/rest/1/code/im.v2.Event.get", false),
            ("https://169.254.169.254/rest/1/code/im.v2.Event.get", false),
            ("https://localhost/rest/1/code/im.v2.Event.get", false),
            ("/login/", false),
            (CALLED, false),
            ("", false),
        ] {
            assert_eq!(follows(CALLED, location), expected, "{location}");
        }
    }

    #[test]
    fn on_this_machine_plain_http_is_followed_on_this_machine_only() {
        const CALLED: &str = "http://127.0.0.1:8924/rest/profile";
        assert!(follows(CALLED, "http://127.0.0.1:9000/rest/profile"));
        assert!(!follows(CALLED, "http://example.com/rest/profile"));
        assert!(!follows("http://example.com/rest/profile", "http://127.0.0.1:9000/rest/profile"));
    }
}
