//! What the operator wrote, validated: every rule broken is reported at once, secrets stay secret.
//!
//! [`load`] merges defaults, file, environment and flags (later wins), reads the values that are
//! kept in files of their own, and turns the result into a [`Config`].

mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod page;
mod parse;
#[cfg(test)]
mod reference;
mod rules;
mod secrets;
mod section;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use error::{ConfigError, Violation};
pub use parse::load::{Loaded, Overrides, load, state_path};
pub use secrets::secret_text::SecretText;
pub use secrets::secret_url::SecretUrl;
pub use secrets::webhook_url::WebhookUrl;
pub use section::authorization::{AuthConfig, ClientConfig};
pub use section::delivery::{
    DeadLettersConfig, DeliveryConfig, Hold, JournalConfig, RetentionConfig, WhenFull,
};
pub use section::flow::{BatchConfig, FlowConfig, OrderingConfig};
pub use section::http::HttpConfig;
pub use section::letter::{LetterConfig, LetterFormat};
pub use section::networks::PrivateNetworks;
pub use section::outcomes::{Outcome, OutcomesConfig};
pub use section::proxy::ProxyConfig;
pub use section::retry::{GiveUp, RetryConfig};
pub use section::signing::{
    PUBLIC_PREFIX, SECRET_PREFIX, SHARED_PREFIX, SigningConfig, SigningKey, SigningSecret,
};
pub use section::tls::{TlsConfig, TlsVersion};
pub use section::webhook::WebhookConfig;

/// Everything the relay needs to run.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The state file (SQLite).
    pub state: PathBuf,
    /// How long a stop may wait for deliveries under way.
    pub shutdown_grace: Duration,
    /// What goes to stderr.
    pub log: LogConfig,
    /// How events get from the portal to the sinks.
    pub delivery: DeliveryConfig,
    /// `[http]`; `None` when nobody is to look.
    pub http: Option<HttpConfig>,
    /// The queues to poll, by name; at least one.
    pub sources: Vec<SourceConfig>,
    /// The destinations, by name; at least one for each source.
    pub sinks: Vec<SinkConfig>,
    /// `[portals."HOST"]`, by authority (host, with the port when it is not the scheme's own).
    pub portals: BTreeMap<String, PortalConfig>,
}

impl Config {
    /// What the portal at `authority` bears; `None` when it has no limit.
    pub fn rate_of(&self, authority: &str) -> Option<RateConfig> {
        self.portal(authority).rate
    }

    /// What is known of the portal at `authority`.
    pub fn portal(&self, authority: &str) -> PortalConfig {
        self.portals.get(authority).cloned().unwrap_or_default()
    }
}

/// One portal; the default is one of the ordinary plan.
#[derive(Clone, PartialEq, Debug)]
pub struct PortalConfig {
    /// Its rate limit, if it has one.
    pub rate: Option<RateConfig>,
    /// The authority at which it is called instead.
    pub moved_to: Option<String>,
}

impl PortalConfig {
    /// A portal that has not moved.
    pub fn with_rate(rate: Option<RateConfig>) -> Self {
        Self { rate, moved_to: None }
    }
}

impl Default for PortalConfig {
    fn default() -> Self {
        Self::with_rate(Some(RateConfig::STANDARD))
    }
}

/// What a portal bears of everybody behind one address together (PORTAL.md section 7): a leaky bucket.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RateConfig {
    /// Requests at once.
    pub burst: f64,
    /// Requests a second in the long run.
    pub per_second: f64,
}

impl RateConfig {
    /// Every cloud plan but the largest.
    pub const STANDARD: Self = Self { burst: 50.0, per_second: 2.0 };
    /// The largest cloud plan.
    pub const ENTERPRISE: Self = Self { burst: 250.0, per_second: 5.0 };
}

/// `[log]`: what goes to stderr.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LogConfig {
    /// `log.format`.
    pub format: LogFormat,
    /// `log.level`.
    pub level: LogLevel,
}

/// `log.format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.level`, from rare to chatty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// It healed, or will be tried again.
    Warn,
    /// A handful of lines an hour when healthy.
    Info,
    /// A line a batch.
    Debug,
    /// A line an event.
    Trace,
}

/// `[sources.NAME]`: one queue to poll.
#[derive(Clone, PartialEq, Debug)]
pub struct SourceConfig {
    /// NAME: its identity in logs and in the state file.
    pub name: String,
    /// Whose queue it is.
    pub kind: KindConfig,
    /// How the portal is made to answer.
    pub access: AccessConfig,
    /// `poll`: pace and size.
    pub poll: PollConfig,
    /// `confirm_lag`: how long an event's neighbours may take to become visible; zero when none is waited for.
    pub confirm_lag: Duration,
}

impl SourceConfig {
    /// The portal's address, without any secret.
    pub fn portal(&self) -> &SecretUrl {
        match &self.access {
            AccessConfig::Webhook(webhook) => webhook.url(),
            AccessConfig::OAuth(oauth) => &oauth.portal,
        }
    }

    /// The webhook, if that is the credential.
    pub fn webhook(&self) -> Option<&WebhookUrl> {
        match &self.access {
            AccessConfig::Webhook(webhook) => Some(webhook),
            AccessConfig::OAuth(_) => None,
        }
    }

    /// Whether what the user behind the credential may see is among its events.
    pub fn reads_user(&self) -> bool {
        match &self.kind {
            KindConfig::User => true,
            KindConfig::Bot(bot) => bot.with_user_events,
        }
    }

    /// `PORTAL/user/ID` or `PORTAL/bot/ID`, as far as it is known before anybody is asked.
    pub fn identity(&self) -> Option<String> {
        match &self.kind {
            KindConfig::User => self.webhook().map(WebhookUrl::identity),
            KindConfig::Bot(bot) => Some(format!("{}/bot/{}", self.portal().authority(), bot.id)),
        }
    }
}

/// `sources.NAME.kind`.
#[derive(Clone, PartialEq, Debug)]
pub enum KindConfig {
    /// `kind = "user"`: the queue of the user behind the credential.
    User,
    /// `kind = "bot"`: the queue of a bot.
    Bot(BotConfig),
}

/// The keys of a source of kind `bot`.
#[derive(Clone, PartialEq, Debug)]
pub struct BotConfig {
    /// `bot_id`; above 0.
    pub id: u64,
    /// `bot_token`: needed with a webhook, of no use with OAuth (PORTAL.md 3.1).
    pub token: Option<SecretText>,
    /// `with_user_events`: the queue of the user behind the credential together with the bot's.
    pub with_user_events: bool,
}

/// The credential of a source.
#[derive(Clone, PartialEq, Debug)]
pub enum AccessConfig {
    /// `webhook_url`: address, user and secret in one.
    Webhook(WebhookUrl),
    /// `[sources.NAME.oauth]`: an application on behalf of whoever logged in.
    OAuth(OAuthConfig),
}

/// `[sources.NAME.oauth]`.
#[derive(Clone, PartialEq, Debug)]
pub struct OAuthConfig {
    /// The name of the source whose login this is: its own, or the one that `oauth.grant` names.
    pub grant: String,
    /// `portal`: `https://HOST/`.
    pub portal: SecretUrl,
    /// `client_id` of the application.
    pub client_id: String,
    /// `client_secret` of the application: for the authorization server alone.
    pub client_secret: SecretText,
    /// `server`: the authorization server, when the operator names one.
    pub server: Option<SecretUrl>,
}

/// `sources.NAME.poll`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PollConfig {
    /// The pause after a poll that brought nothing.
    pub idle: Duration,
    /// What that pause grows to after a long silence; never below `idle`.
    pub idle_max: Duration,
    /// The pause while the portal says that more is waiting.
    pub busy: Duration,
    /// Events asked for in one poll, 1 to 1000.
    pub limit: u16,
    /// The longest a request may take.
    pub timeout: Duration,
}

/// `[sinks.NAME]`: one destination.
#[derive(Clone, PartialEq, Debug)]
pub struct SinkConfig {
    /// NAME: its identity in logs and in the state file.
    pub name: String,
    /// What it reaches, by `type`.
    pub target: TargetConfig,
    /// The names of the sources it takes; `None` takes all.
    pub sources: Option<Vec<String>>,
    /// The event types it takes; `None` takes all.
    pub events: Option<Vec<String>>,
    /// The delay between attempts.
    pub retry: RetryConfig,
    /// `max_event_age`: older events are let go, and counted; `None` for never.
    pub max_event_age: Option<Duration>,
    /// `start`: where it begins in a source that it has taken nothing of yet.
    pub start: StartConfig,
    /// In which order and how fast events go to it.
    pub flow: FlowConfig,
}

impl SinkConfig {
    /// Whether this sink takes events of the source called `source`.
    pub fn takes_source(&self, source: &str) -> bool {
        self.sources.as_ref().is_none_or(|names| names.iter().any(|name| name == source))
    }
}

/// `sinks.NAME.start`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartConfig {
    /// With the oldest event there is.
    Oldest,
    /// With what happens from now on.
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

/// A `stdout` sink's own keys.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StdoutConfig {
    /// `format`.
    pub format: StdoutFormat,
}

/// A `stdout` sink's `format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StdoutFormat {
    /// One JSON object a line.
    Json,
    /// One short line for people; not meant to be parsed.
    Text,
}

/// A `file` sink's own keys.
#[derive(Clone, PartialEq, Debug)]
pub struct FileConfig {
    /// The file that events are appended to.
    pub path: PathBuf,
    /// Its permission bits when it is created.
    pub mode: u32,
    /// When it is put aside for a new one; never without.
    pub rotate: Option<RotateConfig>,
    /// What becomes of those put aside.
    pub compress: CompressConfig,
}

/// A `file` sink's `rotate`: at least one of `size` and `every` is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotateConfig {
    /// The size that it does not outgrow, but for a single batch, in bytes.
    pub size: Option<u64>,
    /// The period that its events are of, in whole seconds.
    pub every: Option<Duration>,
    /// How many of those put aside stay; all without.
    pub keep: Option<u16>,
}

/// `compress` of a `file` or a `webhook` sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompressConfig {
    /// `"none"`.
    None,
    /// `"gzip"`.
    Gzip,
    /// `"zstd"`.
    Zstd,
}
