//! Reads `[portals."HOST"]`: the rate limit of a portal that is not on a standard plan, its new address, and how to
//! connect to it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use b24_client::SecretUrl;
use config::Value;

use crate::config::parse::enums::Plan;
use crate::config::parse::findings::Findings;
use crate::config::parse::quote;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::section::connection::RawConnection;
use crate::config::section::sources::source::RawSource;
use crate::config::{PortalConfig, RateConfig};

/// Requests at once. The plans allow 50 and 250; the bounds only catch typing errors.
const BURST: RangeInclusive<f64> = 1.0..=1000.0;
/// Requests per second. The plans allow 2 and 5.
const PER_SECOND: RangeInclusive<f64> = 0.1..=100.0;

/// A portal as read, perhaps incomplete.
pub(crate) struct RawPortal {
    host: String,
    config: PortalConfig,
    connection: RawConnection,
}

impl RawPortal {
    /// How its sources connect, by its host.
    pub(crate) fn connection(&self) -> (String, RawConnection) {
        (self.host.clone(), self.connection.clone())
    }

    /// Converts it into an entry of `Config::portals`.
    pub(crate) fn complete(self) -> (String, PortalConfig) {
        (self.host, self.config)
    }
}

/// Reads one portal and reports violations.
pub(crate) fn read(host: &str, table: &mut Table<'_>, files: &SecretFiles) -> RawPortal {
    let plan = table.take_or("plan", value::choice, Plan::Standard);
    let rate = match plan {
        Plan::Standard => Some(read_rate(table, RateConfig::STANDARD)),
        Plan::Enterprise => Some(read_rate(table, RateConfig::ENTERPRISE)),
        Plan::SelfHosted => {
            let reason = "is of no use with the plan `self-hosted`, which has no limit: remove it, or choose another `plan`";
            table.refuse(&["burst", "rate"], reason);
            None
        }
    };
    let moved_to = table.take("moved_to", value::text).filter(|new| {
        let is_host = plain(new).is_some_and(|plain| plain == *new && new != host);
        if !is_host {
            let text =
                "must be the portal's new host alone, as in `new.bitrix24.com`, without scheme and path";
            table.report("moved_to", text);
        }
        is_host
    });
    let connection = RawConnection::read(table, files);
    RawPortal { host: host.to_owned(), config: PortalConfig { rate, moved_to }, connection }
}

/// The rate limit of the plan, with the given values in place of its own.
fn read_rate(table: &mut Table<'_>, of_plan: RateConfig) -> RateConfig {
    RateConfig {
        burst: read_number(table, "burst", BURST, of_plan.burst),
        per_second: read_number(table, "rate", PER_SECOND, of_plan.per_second),
    }
}

fn read_number(table: &mut Table<'_>, key: &'static str, range: RangeInclusive<f64>, usual: f64) -> f64 {
    let bits = |value: &Value| value::number(range)(value).map(f64::to_bits);
    f64::from_bits(table.take_or(key, bits, usual.to_bits()))
}

/// Reports every portal that no source uses.
pub(crate) fn check(portals: &[RawPortal], sources: &[RawSource], findings: &Findings) {
    let used = Used::by(sources);
    for portal in portals {
        if let Some(objection) = used.objection(&portal.host) {
            findings.report(format!("portals.{}", quote::key(&portal.host)), objection);
        }
    }
}

/// The portals in use.
struct Used {
    hosts: BTreeSet<String>,
    /// True if there may be more, because some source is invalid.
    may_be_more: bool,
}

impl Used {
    fn by(sources: &[RawSource]) -> Self {
        let hosts = sources.iter().filter_map(|source| source.portal(sources));
        Self {
            hosts: hosts.map(SecretUrl::authority).collect(),
            may_be_more: sources.iter().any(|source| source.portal(sources).is_none()),
        }
    }

    fn objection(&self, host: &str) -> Option<String> {
        if self.hosts.contains(host) {
            return None;
        }
        let Some(plain) = plain(host) else {
            let text =
                "must be a host alone, as in `portals.\"example.bitrix24.com\"`, without scheme and path";
            return Some(format!("{text}{}", self.listed()));
        };
        if self.hosts.contains(&plain) {
            return Some(format!("must be written as the portal's URL has it: `{plain}`"));
        }
        let text = "no source uses this portal: correct the host, or remove the table";
        (!self.may_be_more).then(|| format!("{text}{}", self.listed()))
    }

    fn listed(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|host| format!("`{host}`")).collect();
        if hosts.is_empty() { String::new() } else { format!("; in use: {}", hosts.join(", ")) }
    }
}

/// Normalises the host as in URLs; `None` if it is not a host, or more than a host.
fn plain(host: &str) -> Option<String> {
    let is_more = host.contains(['/', '\\', '@']);
    let url = SecretUrl::parse_origin(&format!("https://{host}")).ok().filter(|_| !is_more);
    url.map(|url| url.authority())
}
