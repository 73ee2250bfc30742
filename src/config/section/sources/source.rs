//! Reads `[sources.NAME]`.

use std::time::Duration;

use b24_client::SecretUrl;

use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::section::connection::{OfPortals, RawConnection};
use crate::config::section::sources::access::{self, RawAccess, RawLogin};
use crate::config::section::sources::bot::{self, RawKind};
use crate::config::{AccessConfig, PollConfig, SourceConfig};

const IDLE: Duration = Duration::from_secs(5);
const IDLE_MAX: Duration = Duration::from_secs(30);
const BUSY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(30);
const LIMIT: u16 = 1000;
const CONFIRM_LAG: Duration = Duration::from_secs(30);

/// A database transaction that runs longer than this has been aborted, so its row never becomes visible.
const LONGEST_LAG: Duration = Duration::from_secs(60);

/// With a longer pause, a busy queue would be noticed too late.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// The shortest polling interval for an idle queue at a portal that others use too.
const SHORTEST_IDLE: Duration = Duration::from_secs(1);
/// For the sandbox on this machine.
const SHORTEST_LOOPBACK_IDLE: Duration = Duration::from_millis(10);
/// The portal itself times out after a minute (PORTAL.md 7).
const LONGEST_TIMEOUT: Duration = Duration::from_secs(65);

/// A source as read, perhaps incomplete.
pub(crate) struct RawSource {
    pub(crate) name: String,
    pub(crate) access: RawAccess,
    pub(crate) kind: RawKind,
    pub(crate) poll: PollConfig,
    confirm_lag: Duration,
    connection: RawConnection,
}

impl RawSource {
    /// The login that the source uses, and the name of the source in `all` that owns it.
    pub(crate) fn login<'d>(&'d self, all: &'d [Self]) -> Option<(&'d str, &'d RawLogin)> {
        let owner = match &self.access {
            RawAccess::Grant(name) => all.iter().find(|other| Some(&other.name) == name.as_ref())?,
            RawAccess::Login(_) | RawAccess::Webhook(_) | RawAccess::Unclear => self,
        };
        let RawAccess::Login(login) = &owner.access else { return None };
        Some((&owner.name, login))
    }

    /// Its portal; `all` are all sources.
    pub(crate) fn portal<'d>(&'d self, all: &'d [Self]) -> Option<&'d SecretUrl> {
        match &self.access {
            RawAccess::Grant(_) => self.login(all)?.1.portal.as_ref(),
            own @ (RawAccess::Webhook(_) | RawAccess::Login(_) | RawAccess::Unclear) => own.portal(),
        }
    }

    /// The source, if no part is missing; `all` are all sources, `of_portals` the connections that tables
    /// of portals give.
    pub(crate) fn complete(&self, all: &[Self], of_portals: &OfPortals) -> Option<SourceConfig> {
        let access = match &self.access {
            RawAccess::Webhook(webhook) => AccessConfig::Webhook(webhook.as_ref()?.value.clone()),
            RawAccess::Login(_) | RawAccess::Grant(_) => {
                let (owner, login) = self.login(all)?;
                AccessConfig::OAuth(login.complete(owner)?)
            }
            RawAccess::Unclear => return None,
        };
        let of_portal = of_portals.get(&self.portal(all)?.authority());
        Some(SourceConfig {
            name: self.name.clone(),
            kind: self.kind.complete()?,
            access,
            poll: self.poll,
            confirm_lag: self.confirm_lag,
            connection: self.connection.or(of_portal),
        })
    }
}

/// Reads one source and reports violations.
pub(crate) fn read(name: &str, table: &mut Table<'_>, files: &SecretFiles) -> RawSource {
    let access = access::read(table, files);
    let is_http_fine = table.take_or("allow_http", value::boolean, false);
    for (key, url) in access.addresses().into_iter().filter(|_| !is_http_fine) {
        secret::refuse_exposed(table, key, url);
    }
    let kind = bot::read(table, &access, files);
    let shortest_idle = shortest_idle(access.portal());
    let poll = table.table("poll", |table| read_poll(table, shortest_idle));
    let lag = value::duration(Duration::ZERO, LONGEST_LAG);
    let confirm_lag = table.take_or("confirm_lag", lag, CONFIRM_LAG);
    let connection = RawConnection::read(table, files);
    RawSource { name: name.to_owned(), access, kind, poll, confirm_lag, connection }
}

fn read_poll(table: &mut Table<'_>, shortest_idle: Duration) -> PollConfig {
    let (idle, idle_max) = read_idle(table, shortest_idle);
    PollConfig {
        idle,
        idle_max,
        busy: table.take_or("busy", value::duration(Duration::ZERO, LONGEST_PAUSE), BUSY),
        limit: table.take_or("limit", value::integer(1..=LIMIT), LIMIT),
        timeout: table.take_or("timeout", value::duration(Duration::from_secs(1), LONGEST_TIMEOUT), TIMEOUT),
    }
}

/// Reads `idle` and `idle_max`. If `idle` is invalid, `idle_max` is not compared with it, because the
/// intended value is unknown.
fn read_idle(table: &mut Table<'_>, shortest: Duration) -> (Duration, Duration) {
    let is_given = table.has("idle");
    let valid = table.take("idle", value::duration(shortest, LONGEST_PAUSE));
    let valid = valid.or_else(|| (!is_given).then(|| table.default("idle", IDLE)));
    let idle = valid.unwrap_or(IDLE);
    let max = table.take_or("idle_max", value::duration(shortest, LONGEST_PAUSE), idle.max(IDLE_MAX));
    if valid.is_some() && max < idle {
        let (idle, max) = (value::spelled(idle), value::spelled(max));
        table.report("idle_max", format!("must not be below `idle` ({idle}), not {max}"));
    }
    (idle, max)
}

/// The shortest allowed value if the portal is unknown: that error is reported separately, and the portal may
/// be a loopback one.
pub(crate) fn shortest_idle(portal: Option<&SecretUrl>) -> Duration {
    match portal {
        Some(portal) if !portal.is_loopback() => SHORTEST_IDLE,
        _ => SHORTEST_LOOPBACK_IDLE,
    }
}
