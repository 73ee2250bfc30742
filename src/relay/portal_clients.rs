//! The clients of the portals: one client for each source, one shared state for each portal, one session for each login.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use b24_client::http::ClientBuildError;
use b24_client::{CallError, Credential, KeyValue, KeyValueError, OAuthSession, PortalClient, PortalState};
use tracing::warn;

use crate::config::{AccessConfig, Config, ConnectionConfig, QueueKind, SourceConfig};
use crate::log_code;
use crate::retry::whole_millis;

/// The clients that the sources of one process share.
#[derive(Default)]
pub struct PortalClients {
    portals: BTreeMap<String, Arc<PortalState>>,
    sessions: BTreeMap<String, Session>,
}

/// A login, and how its authorization server is reached.
#[derive(Clone)]
struct Session {
    connection: ConnectionConfig,
    session: Arc<OAuthSession>,
}

/// Why a source has no way to call its portal. Only the operator can correct that.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// TLS or the proxy of this machine cannot be used.
    #[error("sources.{source_name}: {error}")]
    NotBuilt {
        /// The source.
        source_name: String,
        /// The reason.
        error: ClientBuildError,
    },
    /// The clients were opened for other sources.
    #[error("not one of the sources that were opened")]
    NotOpened,
}

impl PortalClients {
    /// Opens the sites and grants of `sources`.
    pub async fn open<'a>(
        config: &Config,
        sources: impl IntoIterator<Item = &'a SourceConfig>,
        key_value: &Arc<dyn KeyValue>,
    ) -> Result<Self, KeyValueError> {
        Self::default().renewed(config, sources, key_value).await
    }

    /// Creates the clients for another configuration. A portal or login that is in both is shared: a second budget
    /// would call the portal twice as often, and a second grant would lose the login's tokens.
    pub async fn renewed<'a>(
        &self,
        config: &Config,
        sources: impl IntoIterator<Item = &'a SourceConfig>,
        key_value: &Arc<dyn KeyValue>,
    ) -> Result<Self, KeyValueError> {
        let (mut portals, mut sessions) = (BTreeMap::new(), BTreeMap::new());
        for source in sources {
            let address = source.portal();
            let authority = address.authority();
            if let Entry::Vacant(place) = portals.entry(authority) {
                let portal = config.portal(place.key());
                let known =
                    self.portals.get(place.key()).filter(|portal_state| portal_state.is_at(address, &portal));
                let portal_state = match known {
                    Some(portal_state) => Arc::clone(portal_state),
                    None => Arc::new(PortalState::open(address, portal, Arc::clone(key_value)).await?),
                };
                place.insert(portal_state);
            }
            if let AccessConfig::OAuth(oauth) = &source.access
                && let Entry::Vacant(place) = sessions.entry(oauth.grant.clone())
            {
                // Several sources may share it; the one that owns it says how to connect.
                let owner = config.sources.iter().find(|owner| owner.name == oauth.grant);
                let connection = owner.unwrap_or(source).connection.clone();
                let known = self.sessions.get(place.key());
                let known =
                    known.filter(|known| known.session.is_of(oauth) && known.connection == connection);
                place.insert(known.cloned().unwrap_or_else(|| {
                    let route = connection.authorization_route();
                    let session = Arc::new(OAuthSession::new(oauth, route, Arc::clone(key_value)));
                    Session { connection, session }
                }));
            }
        }
        Ok(Self { portals, sessions })
    }

    /// The client of `source`, which must be one of the sources that this was opened for.
    pub fn of(&self, source: &SourceConfig) -> Result<PortalClient, NoClient> {
        let (Some(portal_state), Some(credential)) =
            (self.portals.get(&source.portal().authority()), self.credential(source))
        else {
            return Err(NoClient::NotOpened);
        };
        PortalClient::try_new(
            Arc::clone(portal_state),
            credential,
            source.poll.timeout,
            source.connection.route(),
        )
        .map_err(|error| NoClient::NotBuilt { source_name: source.name.clone(), error })
    }

    /// The login of `source`, if it has one.
    pub fn grant(&self, source: &SourceConfig) -> Option<&Arc<OAuthSession>> {
        match &source.access {
            AccessConfig::Webhook(_) => None,
            AccessConfig::OAuth(oauth) => Some(&self.sessions.get(&oauth.grant)?.session),
        }
    }

    /// The user whose permissions the calls of `source` have.
    ///
    /// # Errors
    /// [`CallError`] when there is no login yet.
    pub async fn user_id(&self, source: &SourceConfig) -> Result<u64, CallError> {
        match self.credential(source) {
            Some(Credential::Webhook(webhook)) => Ok(webhook.user_id()),
            Some(Credential::OAuthSession(grant)) => grant.user_id().await,
            None => Err(CallError::operator("profile", "the source has no credential", "")),
        }
    }

    /// The identity of the queue that `source` reads: the portal's name, then `/user/ID` or `/bot/ID`, or both for a
    /// bot that also receives the events of its user (PORTAL.md 2.4).
    pub async fn identity(&self, source: &SourceConfig) -> Result<String, CallError> {
        let portal = source.portal().authority();
        Ok(match &source.kind {
            QueueKind::User => format!("{portal}/user/{}", self.user_id(source).await?),
            QueueKind::Bot(bot) if bot.with_user_events => {
                format!("{portal}/bot/{}/user/{}", bot.id, self.user_id(source).await?)
            }
            QueueKind::Bot(bot) => format!("{portal}/bot/{}", bot.id),
        })
    }

    /// Waits for the end of every token refresh in progress: a token pair that was issued and not stored is a lost
    /// login.
    pub async fn rest(&self) {
        for Session { session, .. } in self.sessions.values() {
            session.rest().await;
        }
    }

    /// Like [`PortalClients::rest`], but only for the logins that `others` do not share. They are no longer used.
    pub async fn rest_but_for(&self, others: &Self) {
        let is_shared =
            |own: &Session| others.sessions.values().any(|other| Arc::ptr_eq(&own.session, &other.session));
        for Session { session, .. } in self.sessions.values().filter(|own| !is_shared(own)) {
            session.rest().await;
        }
    }

    /// Reports which portals are called at another address than the configured one.
    pub async fn tell_moves(&self) {
        for portal_state in self.portals.values() {
            portal_state.tell_move().await;
        }
    }

    /// Warns when the configured polls of one portal exceed its rate limit.
    pub fn warn_of_stretching(&self, sources: &[SourceConfig]) {
        for (portal, portal_state) in &self.portals {
            let Some(interval) = portal_state.poll_interval() else { continue };
            let idles = sources
                .iter()
                .filter(|source| source.portal().authority() == *portal)
                .map(|source| source.poll.idle);
            let wanted_per_s: f64 = idles.clone().map(|idle| idle.as_secs_f64().recip()).sum();
            if wanted_per_s * interval.as_secs_f64() <= 1.0 {
                continue;
            }
            let count = u32::try_from(idles.count()).unwrap_or(u32::MAX);
            let real: Duration = interval * count;
            warn!(
                code = %log_code::POLLS_TOO_MANY,
                portal,
                sources = count,
                interval_ms = whole_millis(real),
                "more polls than the portal allows (`[portals]`): each source is polled less often than every `poll.idle`"
            );
        }
    }

    fn credential(&self, source: &SourceConfig) -> Option<Credential> {
        match &source.access {
            AccessConfig::Webhook(webhook) => Some(Credential::Webhook(webhook.clone())),
            AccessConfig::OAuth(_) => self.grant(source).cloned().map(Credential::OAuthSession),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};
    use b24_client::NoKeyValue;

    const LOGIN: &str = "client_id = \"app.1\"\nclient_secret = \"s3cr3t\"";

    fn config(lines: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b24relay.toml");
        std::fs::write(&file, format!("{lines}\n[sinks.console]\ntype = \"stdout\"")).unwrap();
        load(&Overrides { config: Some(file), ..Overrides::default() }).unwrap().config
    }

    async fn renewed(clients: &PortalClients, config: &Config) -> PortalClients {
        let key_value: Arc<dyn KeyValue> = Arc::new(NoKeyValue);
        clients.renewed(config, &config.sources, &key_value).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_in_both_configurations_is_shared_on() {
        let lines = format!(
            "[sources.one]\nwebhook_url = \"https://a.example/rest/1/code1/\"\n\
             [sources.two.oauth]\nportal = \"https://b.example/\"\n{LOGIN}"
        );
        let before = renewed(&PortalClients::default(), &config(&lines)).await;
        let portal_state = |clients: &PortalClients, portal: &str| Arc::as_ptr(&clients.portals[portal]);
        let grant = |clients: &PortalClients| Arc::as_ptr(&clients.sessions["two"].session);

        // Another webhook code changes neither the portal's site nor the login.
        let after = renewed(&before, &config(&lines.replace("code1", "code2"))).await;
        assert_eq!(portal_state(&before, "a.example"), portal_state(&after, "a.example"));
        assert_eq!(portal_state(&before, "b.example"), portal_state(&after, "b.example"));
        assert_eq!(grant(&before), grant(&after));

        let after = renewed(&before, &config(&lines.replace("s3cr3t", "s3cr3t2"))).await;
        assert_ne!(grant(&before), grant(&after), "another secret is another login");
        assert_eq!(portal_state(&before, "b.example"), portal_state(&after, "b.example"));

        let faster = format!("[portals.\"a.example\"]\nplan = \"enterprise\"\n{lines}");
        let after = renewed(&before, &config(&faster)).await;
        assert_ne!(
            portal_state(&before, "a.example"),
            portal_state(&after, "a.example"),
            "it bears more now"
        );
        assert_eq!(portal_state(&before, "b.example"), portal_state(&after, "b.example"));
    }
}
