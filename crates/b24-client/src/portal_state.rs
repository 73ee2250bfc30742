//! One portal, shared by all its sources: its current address and its rate limit.
//!
//! A cloud portal that was renamed redirects its callers (PORTAL.md 1.5). The relay follows the redirect only
//! if nothing but the host differs, and the vendor's cloud or the operator confirms the new host
//! ([`PortalState::may_be_at`]). It stores the new address once the portal has answered there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use tracing::{debug, warn};

use crate::http::is_this_machine;
use crate::key_value::{KeyValue, KeyValueError};
use crate::limits::budget::{Budget, Purpose};
use crate::log_code;
use crate::oauth::vendor::is_cloud_portal;
use crate::secret::secret_url::SecretUrl;
use crate::settings::PortalConfig;

/// The state of one portal, shared by all its sources.
pub struct PortalState {
    /// The address in the configuration, which identifies the portal even after a move.
    address: SecretUrl,
    config: PortalConfig,
    budget: Budget,
    home: Mutex<Home>,
    key_value: Arc<dyn KeyValue>,
}

/// The portal's current address.
struct Home {
    /// Only scheme, host and port, because the rest of an address may be a secret.
    origin: Url,
    /// The server at this address may not be the portal, so the configured address is called again.
    is_doubted: bool,
}

/// The target of a redirect.
pub enum Redirect {
    /// The same portal at another host: the call is repeated there.
    Followed(Url),
    /// The same, but the host is not confirmed.
    Refused(Url),
    /// Not the target of the call.
    Other,
}

impl PortalState {
    /// Opens the portal at `address` with the settings in `config`.
    ///
    /// # Errors
    /// If its stored address cannot be read.
    pub async fn open(
        address: &SecretUrl,
        config: PortalConfig,
        key_value: Arc<dyn KeyValue>,
    ) -> Result<Self, KeyValueError> {
        let remembered = key_value.get(&home_key(&address.authority())).await?;
        // An invalid stored address is ignored: the portal will redirect us again.
        let remembered: Option<Url> = remembered.and_then(|home| home.parse().ok());
        let origin = origin_of(address.expose());
        let home = Mutex::new(Home { origin: origin.clone(), is_doubted: false });
        let portal_state =
            Self { address: address.clone(), budget: Budget::new(config.rate), config, home, key_value };
        let named = portal_state.config.moved_to.as_ref().and_then(|host| with_authority(&origin, host));
        let home = match remembered.filter(|home| *home != origin) {
            Some(home) if portal_state.may_be_at(&home) => Some(home),
            Some(home) => {
                portal_state.warn_of_stranger("the state file", &home);
                named
            }
            None => named,
        };
        if let Some(home) = home {
            portal_state.home().origin = origin_of(&home);
        }
        Ok(portal_state)
    }

    /// True if it is the portal at `address` with `config`. Secret parts of the address are ignored.
    pub fn is_at(&self, address: &SecretUrl, config: &PortalConfig) -> bool {
        self.config == *config && origin_of(self.address.expose()) == origin_of(address.expose())
    }

    /// The host that is called instead of the configured one.
    pub fn moved_to(&self) -> Option<String> {
        let home = self.home();
        (home.origin != origin_of(self.address.expose())).then(|| home.origin.authority().to_owned())
    }

    /// Logs that a portal is called at another address, and stores this address, because it may come from the
    /// configuration.
    pub async fn tell_move(&self) {
        let Some(moved_to) = self.moved_to() else { return };
        let portal = self.address.authority();
        let hint = format!(
            "put the new address into the configuration, or stop and run `b24relay portal forget {portal}`"
        );
        warn!(code = %log_code::PORTAL_MOVED, portal, moved_to, hint, "the portal is called at the address it has moved to");
        let home = self.home().origin.clone();
        self.remember(&portal, &home).await;
    }

    async fn remember(&self, portal: &str, home: &Url) {
        if let Err(error) = self.key_value.put(&home_key(portal), home.as_str()).await {
            warn!(code = %log_code::ADDRESS_NOT_STORED, portal, %error, "cannot remember the portal's new address");
        }
    }

    /// Stores the name of the user whose queue `source` reads, to show it to people.
    pub async fn remember_user(&self, source: &str, name: &str) {
        let key = format!("user/{source}");
        if self.key_value.get(&key).await.is_ok_and(|known| known.is_none_or(|known| known != name))
            && let Err(error) = self.key_value.put(&key, name).await
        {
            debug!(source, %error, "cannot remember what the user is called");
        }
    }

    /// Whether the portal may be at `url`. A cloud portal may be anywhere in the vendor's cloud, with HTTPS.
    /// Any portal may be where the configuration says. A portal on this machine may be anywhere on this
    /// machine.
    fn may_be_at(&self, url: &Url) -> bool {
        let address = self.address.expose();
        if url.authority() == address.authority() || is_this_machine(address) && is_this_machine(url) {
            return true;
        }
        let is_named = self.config.moved_to.as_deref() == Some(url.authority());
        let are_secure = [address, url].iter().all(|url| url.scheme() == "https");
        are_secure && (is_named || is_cloud_portal(address) && is_cloud_portal(url))
    }

    /// The target of a call to `called` that the portal has redirected to `location`. Its response shows
    /// whether it is the same portal.
    pub fn redirect(&self, called: &Url, location: &str) -> Redirect {
        match moved(called, location) {
            Some(target) if self.may_be_at(&target) => Redirect::Followed(target),
            Some(target) => Redirect::Refused(target),
            None => Redirect::Other,
        }
    }

    /// The hint for a portal that is not called at `host`.
    pub fn hint(&self, host: &str) -> String {
        let portal = self.address.authority();
        if self.address.expose().scheme() == "https" {
            format!(
                "if the portal has moved to {host}, set `moved_to = \"{host}\"` in `[portals.\"{portal}\"]`; if not, \
                 ask the portal's administrator"
            )
        } else {
            format!(
                "use the portal's https address: a redirect by plain http is followed on this machine only (to {host})"
            )
        }
    }

    fn warn_of_stranger(&self, named_by: &str, url: &Url) {
        let (portal, refused, hint) = (self.address.authority(), url.authority(), self.hint(url.authority()));
        warn!(code = %log_code::PORTAL_NOT_TRUSTED, portal, refused, named_by, hint, "an address of the portal is not used, because it is not trusted");
    }

    /// The address that identifies it.
    pub fn address(&self) -> &SecretUrl {
        &self.address
    }

    /// The shortest time between two polls, across all sources; `None` if there is no limit.
    pub fn poll_interval(&self) -> Option<std::time::Duration> {
        self.budget.poll_interval()
    }

    /// The share of our rate limit that the last minute used, across all sources; `None` if there is no limit.
    pub fn budget_used(&self) -> Option<f64> {
        self.budget.used()
    }

    /// Waits for a turn to call.
    pub async fn admit(&self, purpose: Purpose) {
        self.budget.admit(purpose).await;
    }

    /// The number of turns taken so far.
    pub fn turns(&self) -> u64 {
        self.budget.turns()
    }

    /// Records that the portal has refused a call for its rate.
    pub fn refused_for_rate(&self) {
        self.budget.refused();
    }

    /// Replaces the configured host in `url` with the portal's current host.
    pub fn locate(&self, url: Url) -> Url {
        let home = self.home();
        if home.is_doubted { url } else { with_host_of(url, &home.origin) }
    }

    /// Records that the new address does not answer, or not like our portal. The old address may redirect us
    /// to a newer one.
    pub fn doubt_home(&self) {
        self.home().is_doubted = true;
    }

    /// Records that the portal has answered at `url`, or that its authorization server names it. All its
    /// sources then use that host until it moves again, unless the host is not confirmed.
    pub async fn settle(&self, url: &Url) {
        if !self.may_be_at(url) {
            self.warn_of_stranger("the authorization server", url);
            return;
        }
        let home = with_host_of(origin_of(self.address.expose()), url);
        let is_known = self.home().enter(&home);
        if is_known {
            return;
        }
        let (portal, moved_to) = (self.address.authority(), home.authority().to_owned());
        if home == origin_of(self.address.expose()) {
            warn!(code = %log_code::PORTAL_BACK, portal, "the portal is back at the address in the configuration");
        } else {
            warn!(
                code = %log_code::PORTAL_MOVED,
                portal,
                moved_to,
                "the portal has a new address, which is used from now on: put it into the configuration"
            );
        }
        self.remember(&portal, &home).await;
    }

    /// True if the next good response confirms the portal's address.
    pub fn is_home_doubted(&self) -> bool {
        self.home().is_doubted
    }

    fn home(&self) -> MutexGuard<'_, Home> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home {
    /// Sets `origin` as the current address. Returns whether it already was.
    fn enter(&mut self, origin: &Url) -> bool {
        self.is_doubted = false;
        let is_known = self.origin == *origin;
        self.origin.clone_from(origin);
        is_known
    }
}

/// The storage key for the new address of the portal that is configured as `authority`.
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
    // Both are http or https, so setting the host or the port cannot fail.
    let set = url.set_host(other.host_str()).is_ok() && url.set_port(other.port()).is_ok();
    debug_assert!(set, "http URLs take any host and port");
    url
}

/// The same portal at `authority`.
fn with_authority(origin: &Url, authority: &str) -> Option<Url> {
    format!("{}://{authority}/", origin.scheme()).parse().ok()
}

/// The target of a redirect, if it differs from `called` only in its host.
fn moved(called: &Url, location: &str) -> Option<Url> {
    let target = called.join(location).ok()?;
    let is_elsewhere = (target.host(), target.port()) != (called.host(), called.port());
    let mut same = called.clone();
    same.set_host(target.host_str()).ok()?;
    same.set_port(target.port()).ok()?;
    (is_elsewhere && same == target).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_value::NoKeyValue;

    struct Remembers(&'static str);

    #[async_trait::async_trait]
    impl KeyValue for Remembers {
        async fn get(&self, _key: &str) -> Result<Option<String>, KeyValueError> {
            Ok(Some(self.0.to_owned()))
        }

        async fn put(&self, _key: &str, _value: &str) -> Result<(), KeyValueError> {
            panic!("nothing is to be kept")
        }
    }

    async fn open(address: &str, moved_to: Option<&str>, key_value: Arc<dyn KeyValue>) -> PortalState {
        let config = PortalConfig { moved_to: moved_to.map(str::to_owned), ..PortalConfig::default() };
        PortalState::open(&SecretUrl::parse(address).unwrap(), config, key_value).await.unwrap()
    }

    /// The outcome of a redirect of `CALL` at `host` to `location`: `followed`, `refused` or `other`.
    async fn outcome(host: &str, moved_to: Option<&str>, location: &str) -> &'static str {
        let portal_state = open(host, moved_to, Arc::new(NoKeyValue)).await;
        let called = format!("{host}{CALL}").parse().unwrap();
        match portal_state.redirect(&called, location) {
            Redirect::Followed(_) => "followed",
            Redirect::Refused(_) => "refused",
            Redirect::Other => "other",
        }
    }

    const CALL: &str = "/rest/1/code/im.v2.Event.get";

    #[tokio::test]
    async fn a_cloud_portal_is_followed_within_the_vendors_domains_only() {
        const OLD: &str = "https://old.bitrix24.com";
        for (location, expected) in [
            (format!("https://new.bitrix24.com{CALL}"), "followed"),
            (format!("https://new.bitrix24.eu{CALL}"), "followed"),
            (format!("https://new.bitrix24.com:8443{CALL}"), "followed"),
            (format!("//new.bitrix24.com{CALL}"), "followed"),
            (format!("https://bitrix24.evil.com{CALL}"), "refused"),
            (format!("https://evilbitrix24.com{CALL}"), "refused"),
            (format!("https://new.bitrix24.com.evil.com{CALL}"), "refused"),
            (format!("https://portal.example{CALL}"), "refused"),
            (format!("https://127.0.0.1{CALL}"), "refused"),
            (format!("https://10.0.0.7{CALL}"), "refused"),
            (format!("https://[::ffff:192.168.0.1]{CALL}"), "refused"),
            (format!("https://localhost{CALL}"), "refused"),
            (format!("http://new.bitrix24.com{CALL}"), "other"),
            ("https://new.bitrix24.com/rest/1/code/".to_owned(), "other"),
            (format!("https://new.bitrix24.com/auth/?back={CALL}"), "other"),
            (format!("https://new.bitrix24.com{CALL}?x=1"), "other"),
            (format!("https://me:pw@new.bitrix24.com{CALL}"), "other"),
            ("/login/".to_owned(), "other"),
            (format!("{OLD}{CALL}"), "other"),
            (String::new(), "other"),
        ] {
            assert_eq!(outcome(OLD, None, &location).await, expected, "{location}");
        }
        let cloud = format!("https://new.bitrix24.com{CALL}");
        assert_eq!(outcome("https://portal.example", None, &cloud).await, "refused");
    }

    #[tokio::test]
    async fn a_person_may_name_the_new_host_and_no_other_is_followed() {
        let to = |host: &str| format!("https://{host}{CALL}");
        for (host, expected) in
            [("new.example", "followed"), ("new.example:8443", "refused"), ("xnew.example", "refused")]
        {
            assert_eq!(
                outcome("https://old.example", Some("new.example"), &to(host)).await,
                expected,
                "{host}"
            );
        }
        let portal_state = open("https://old.example/rest/", Some("new.example"), Arc::new(NoKeyValue)).await;
        assert_eq!(
            portal_state.moved_to().as_deref(),
            Some("new.example"),
            "it is called there without a redirect"
        );
    }

    #[tokio::test]
    async fn plain_http_is_followed_from_this_machine_to_this_machine_only() {
        for (called, target, expected) in [
            ("127.0.0.1:8924", "127.0.0.1:9000", "followed"),
            ("localhost:8924", "[::1]:9000", "followed"),
            ("127.0.0.1:8924", "10.0.0.7", "refused"),
            ("127.0.0.1:8924", "example.com", "refused"),
            ("10.0.0.7", "10.0.0.8", "refused"),
            ("10.0.0.7", "127.0.0.1", "refused"),
            ("old.bitrix24.com", "new.bitrix24.com", "refused"),
        ] {
            let location = format!("http://{target}{CALL}");
            assert_eq!(
                outcome(&format!("http://{called}"), None, &location).await,
                expected,
                "{called} {target}"
            );
        }
    }

    #[tokio::test]
    async fn what_was_remembered_is_checked_like_a_redirect() {
        for (home, expected) in [
            ("https://new.bitrix24.com/", Some("new.bitrix24.com")),
            ("https://bitrix24.evil.com/", None),
            ("http://new.bitrix24.com/", None),
            ("https://10.0.0.7/", None),
            ("no address", None),
        ] {
            let portal_state = open("https://old.bitrix24.com/", None, Arc::new(Remembers(home))).await;
            assert_eq!(portal_state.moved_to().as_deref(), expected, "{home}");
        }
    }

    #[tokio::test]
    async fn an_address_that_the_authorization_server_names_is_checked_too() {
        let portal_state = open("https://old.bitrix24.com/", None, Arc::new(Remembers(""))).await;
        for url in ["https://evil.example/rest/", "http://new.bitrix24.com/rest/", "https://127.0.0.1/rest/"]
        {
            portal_state.settle(&url.parse().unwrap()).await;
            assert_eq!(portal_state.moved_to(), None, "{url}");
        }
    }
}
