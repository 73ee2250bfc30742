//! The validated configuration. All violations are reported at once, and secrets are never shown.
//!
//! [`load`] merges defaults, file, environment and flags (later wins), reads the values that are kept in
//! separate files, and turns the result into a [`Config`].

mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod parse; // from text to checked values
mod rules; // between keys and between configurations
mod secrets; // values that are never shown
mod section; // the tables of the file
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

pub use b24_client::{
    BotConfig, OAuthConfig, PortalConfig, QueueKind, RateConfig, SecretText, SecretUrl, WebhookUrl,
};
pub use error::{ConfigError, Violation};
pub use parse::keys::Keys;
pub use parse::load::{Loaded, Overrides, load, state_path};
pub use secrets::secret::token_of_file;
pub use secrets::secret_file::SecretFileError;
pub use section::connection::ConnectionConfig;
pub use section::connection::proxy::ProxyConfig;
pub use section::connection::tls::{TlsConfig, TlsVersion};
pub use section::delivery::{
    DeadLettersConfig, DeliveryConfig, Hold, JournalConfig, RetentionConfig, WhenFull,
};
pub use section::http::HttpConfig;
pub use section::networks::PrivateNetworks;
pub use section::sinks::authorization::{AuthConfig, ClientConfig};
pub use section::sinks::filter::{FilterConfig, IdRule, Origin};
pub use section::sinks::outcomes::{Outcome, OutcomesConfig};
pub use section::sinks::payload::PayloadConfig;
pub use section::sinks::payload::body::{BodyConfig, Messenger, MessengerConfig, TemplateConfig};
pub use section::sinks::payload::format::PayloadFormat;
pub use section::sinks::payload::signing::{
    PUBLIC_PREFIX, SECRET_PREFIX, SHARED_PREFIX, SigningConfig, SigningKey, SigningSecret,
};
pub use section::sinks::retry::{GiveUp, RetryConfig};
pub use section::sinks::throughput::{BatchConfig, OrderingConfig, ThroughputConfig};
pub use section::sinks::webhook::WebhookConfig;

/// Everything the relay needs to run.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The state file (SQLite).
    pub state: PathBuf,
    /// How long a stop may wait for deliveries in flight.
    pub shutdown_grace: Duration,
    /// The log, which goes to stderr.
    pub log: LogConfig,
    /// How events get from the portal to the sinks.
    pub delivery: DeliveryConfig,
    /// `[http]`; `None` if there is no listener.
    pub http: Option<HttpConfig>,
    /// The queues to poll, by name; at least one.
    pub sources: Vec<SourceConfig>,
    /// The destinations, by name; at least one for each source.
    pub sinks: Vec<SinkConfig>,
    /// `[portals."HOST"]`, by authority (host, with the port if it is not the default of the scheme).
    pub portals: BTreeMap<String, PortalConfig>,
    /// What was read, key by key.
    pub keys: Keys,
}

impl Config {
    /// The full paths of the keys in which `other` differs.
    pub fn difference<'c>(&'c self, other: &'c Self) -> BTreeSet<&'c str> {
        self.keys.difference(&other.keys)
    }

    /// Replaces `state` by that of `other`.
    pub fn keep_state(&mut self, other: &Self) {
        self.state.clone_from(&other.state);
        self.keys.keep("state", &other.keys);
    }

    /// The rate limit of the portal at `authority`; `None` if it has no limit.
    pub fn rate_of(&self, authority: &str) -> Option<RateConfig> {
        self.portal(authority).rate
    }

    /// The settings of the portal at `authority`.
    pub fn portal(&self, authority: &str) -> PortalConfig {
        self.portals.get(authority).cloned().unwrap_or_default()
    }
}

/// `[log]`: the format and level of the log on stderr.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LogConfig {
    /// `log.format`.
    pub format: LogFormat,
    /// `log.level`.
    pub level: LogLevel,
}

/// `log.format`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `log.level`, from the quietest to the most verbose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LogLevel {
    /// The operator must act.
    Error,
    /// The problem is over, or the operation will be retried.
    Warn,
    /// A few lines per hour if all is well.
    Info,
    /// One line per batch.
    Debug,
    /// One line per event.
    Trace,
}

/// `[sources.NAME]`: one queue to poll.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceConfig {
    /// NAME, which identifies the source in logs and in the state file.
    pub name: String,
    /// Whose queue it is.
    pub kind: QueueKind,
    /// The credential for the portal.
    pub access: AccessConfig,
    /// `poll`: polling intervals and page size.
    pub poll: PollConfig,
    /// `confirm_lag`: how long to wait for events that become visible late; zero to confirm at once.
    pub confirm_lag: Duration,
    /// `tls` and `proxy`, of the source or else of its portal.
    pub connection: ConnectionConfig,
}

impl SourceConfig {
    /// The portal's address, without any secret.
    pub fn portal(&self) -> &SecretUrl {
        match &self.access {
            AccessConfig::Webhook(webhook) => webhook.url(),
            AccessConfig::OAuth(oauth) => &oauth.portal,
        }
    }

    /// The webhook, if it is the credential.
    pub fn webhook(&self) -> Option<&WebhookUrl> {
        match &self.access {
            AccessConfig::Webhook(webhook) => Some(webhook),
            AccessConfig::OAuth(_) => None,
        }
    }

    /// True if the source reads the events of the user behind the credential.
    pub fn reads_user(&self) -> bool {
        self.kind.reads_user()
    }

    /// `PORTAL/user/ID` or `PORTAL/bot/ID`, if it is known before the first request.
    pub fn identity(&self) -> Option<String> {
        match &self.kind {
            QueueKind::User => self.webhook().map(WebhookUrl::identity),
            QueueKind::Bot(bot) => Some(format!("{}/bot/{}", self.portal().authority(), bot.id)),
        }
    }
}

/// The credential of a source.
#[derive(Clone, PartialEq, Debug)]
pub enum AccessConfig {
    /// `webhook_url`: address, user and secret in one.
    Webhook(WebhookUrl),
    /// `[sources.NAME.oauth]`: an application that acts for the user who logged in.
    OAuth(OAuthConfig),
}

/// `sources.NAME.poll`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PollConfig {
    /// The pause after a poll that returned no events.
    pub idle: Duration,
    /// The upper limit of that pause, which grows while there are no events; at least `idle`.
    pub idle_max: Duration,
    /// The pause while the portal reports that more events are waiting.
    pub busy: Duration,
    /// The number of events per poll, 1 to 1000.
    pub limit: u16,
    /// The timeout of a request.
    pub timeout: Duration,
}

/// `[sinks.NAME]`: one destination.
#[derive(Clone, PartialEq, Debug)]
pub struct SinkConfig {
    /// NAME, which identifies the sink in logs and in the state file.
    pub name: String,
    /// The destination, by `type`.
    pub target: TargetConfig,
    /// The names of the sources it takes; `None` takes all.
    pub sources: Option<Vec<String>>,
    /// The event types it takes; `None` takes all.
    pub events: Option<Vec<String>>,
    /// Which of these events it takes by their content.
    pub filter: FilterConfig,
    /// The delay between attempts.
    pub retry: RetryConfig,
    /// `max_event_age`: older events are dropped and counted; `None` keeps all.
    pub max_event_age: Option<Duration>,
    /// `start`: the first event to deliver from a source that is new to this sink.
    pub start: StartConfig,
    /// The order and speed of deliveries.
    pub flow: ThroughputConfig,
}

impl SinkConfig {
    /// Whether this sink takes events of the source called `source`.
    pub fn takes_source(&self, source: &str) -> bool {
        self.sources.as_ref().is_none_or(|names| names.iter().any(|name| name == source))
    }

    /// True if `other` reaches the same destination in the same way, even if it takes different events.
    pub fn same_destination(&self, other: &Self) -> bool {
        self.target == other.target && self.retry == other.retry && self.flow == other.flow
    }

    /// True if `other` takes the same events from each source that both sinks take.
    pub fn same_subscription(&self, other: &Self) -> bool {
        let of_any = |config: &Self| Self { sources: None, ..config.clone() };
        of_any(self) == of_any(other)
    }
}

/// `sinks.NAME.start`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StartConfig {
    /// From the oldest available event.
    Oldest,
    /// From the events that happen from now on.
    Now,
}

/// `sinks.NAME.type` and the keys that belong to it.
#[derive(Clone, PartialEq, Debug)]
pub enum TargetConfig {
    /// `type = "stdout"`.
    Stdout(StdoutConfig),
    /// `type = "file"`.
    File(FileConfig),
    /// `type = "webhook"`.
    Webhook(Box<WebhookConfig>),
}

/// The keys that belong only to a `stdout` sink.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StdoutConfig {
    /// `format`.
    pub format: StdoutFormat,
}

/// A `stdout` sink's `format`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StdoutFormat {
    /// One JSON object per line.
    Json,
    /// One short line for people; not meant to be parsed.
    Text,
}

/// The keys that belong only to a `file` sink.
#[derive(Clone, PartialEq, Debug)]
pub struct FileConfig {
    /// The file that events are appended to.
    pub path: PathBuf,
    /// Its permission bits at creation.
    pub mode: u32,
    /// When the file is rotated; `None` for never.
    pub rotate: Option<RotateConfig>,
    /// The compression of rotated files.
    pub compress: CompressConfig,
}

/// `rotate` of a `file` sink; at least one of `size` and `every` is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotateConfig {
    /// The size limit in bytes. Only a single larger batch may exceed it.
    pub size: Option<u64>,
    /// The period that one file covers, in whole seconds.
    pub every: Option<Duration>,
    /// The number of rotated files to keep; `None` keeps all.
    pub keep: Option<u16>,
}

/// `compress` of a `file` or a `webhook` sink.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CompressConfig {
    /// `"none"`.
    None,
    /// `"gzip"`.
    Gzip,
    /// `"zstd"`.
    Zstd,
}
