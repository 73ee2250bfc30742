//! Turns the merged tree into a [`Config`]: the top-level keys first, then the sections.

use std::path::PathBuf;
use std::time::Duration;

use config::Value;

use crate::config::parse::findings::Findings;
use crate::config::parse::keys::Keys;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::rules::crosscheck;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::section::delivery;
use crate::config::section::http;
use crate::config::section::sinks::sink::{self, RawSink};
use crate::config::section::sources::portals::{self, RawPortal};
use crate::config::section::sources::source::{self, RawSource};
use crate::config::{Config, DeliveryConfig, HttpConfig, LogConfig, LogFormat, LogLevel};

const STATE: &str = "/var/lib/b24relay/b24relay.db";
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
const LONGEST_GRACE: Duration = Duration::from_secs(10 * 60);

/// Each source is a task, a connection and a part of the portal's rate limit.
const MOST_SOURCES: usize = 256;
/// Each source has a lane to each sink.
const MOST_SINKS: usize = 64;
/// There cannot be more portals than sources.
const MOST_PORTALS: usize = MOST_SOURCES;

/// Reads the configuration in `tree` and reports violations to `findings`. Without violations, the result is
/// complete.
pub(crate) fn read(tree: Value, files: &SecretFiles, findings: &Findings) -> Option<Config> {
    let raw = Table::read_root(tree, findings, |root| read_draft(root, files));
    crosscheck::check(&raw.state, &raw.sources, &raw.sinks, &raw.portals, findings);
    raw.complete(findings.take_keys())
}

/// Reads only `state` from `tree`; reports all other keys as unknown.
pub(crate) fn state(tree: Value, findings: &Findings) -> PathBuf {
    Table::read_root(tree, findings, read_state)
}

fn read_state(root: &mut Table<'_>) -> PathBuf {
    root.take_or("state", value::path, PathBuf::from(STATE))
}

struct Raw {
    state: PathBuf,
    shutdown_grace: Duration,
    log: LogConfig,
    delivery: DeliveryConfig,
    http: Option<HttpConfig>,
    sources: Vec<RawSource>,
    sinks: Vec<RawSink>,
    portals: Vec<RawPortal>,
}

impl Raw {
    fn complete(self, keys: Keys) -> Option<Config> {
        let of_portals = self.portals.iter().map(RawPortal::connection).collect();
        Some(Config {
            state: self.state,
            shutdown_grace: self.shutdown_grace,
            log: self.log,
            delivery: self.delivery,
            http: self.http,
            sources: self
                .sources
                .iter()
                .map(|source| source.complete(&self.sources, &of_portals))
                .collect::<Option<_>>()?,
            sinks: self.sinks.into_iter().map(RawSink::complete).collect::<Option<_>>()?,
            portals: self.portals.into_iter().map(RawPortal::complete).collect(),
            keys,
        })
    }
}

fn read_draft(root: &mut Table<'_>, files: &SecretFiles) -> Raw {
    let state = read_state(root);
    let grace = value::duration(Duration::ZERO, LONGEST_GRACE);
    let shutdown_grace = root.take_or("shutdown_grace", grace, SHUTDOWN_GRACE);
    let log = root.table("log", read_log);
    let delivery = delivery::read(root);
    let http = root.table("http", |table| http::read(table, files));
    Raw {
        state,
        shutdown_grace,
        log,
        delivery,
        http,
        sources: root.table("sources", |table| {
            refuse_count(table, MOST_SOURCES, "source: add `[sources.NAME]` with its `webhook_url_file`");
            table.named(|name, table| {
                refuse_name(name, table);
                source::read(name, table, files)
            })
        }),
        sinks: root.table("sinks", |table| {
            refuse_count(table, MOST_SINKS, "sink: add `[sinks.NAME]` with its `type`");
            table.named(|name, table| {
                refuse_name(name, table);
                sink::read(name, table, files)
            })
        }),
        portals: root.table("portals", |table| {
            refuse_more(table, MOST_PORTALS, "remove those that no source uses");
            table.named(|host, table| portals::read(host, table, files))
        }),
    }
}

fn read_log(table: &mut Table<'_>) -> LogConfig {
    LogConfig {
        format: table.take_or("format", value::choice, LogFormat::Text),
        level: table.take_or("level", value::choice, LogLevel::Info),
    }
}

fn refuse_count(table: &Table<'_>, most: usize, one: &str) {
    if table.len() == 0 {
        table.report_self(format!("there must be at least one {one}"));
    }
    refuse_more(table, most, "run another b24relay for the rest");
}

fn refuse_more(table: &Table<'_>, most: usize, hint: &str) {
    let count = table.len();
    if count > most {
        table.report_self(format!("there must be at most {most}, not {count}: {hint}"));
    }
}

fn refuse_name(name: &str, table: &Table<'_>) {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        table.report_self("the name must be 1 to 64 of the characters a-z, 0-9, `_` and `-`");
    }
}
