//! What the operator wrote, validated: every rule broken is reported at once, secrets stay secret.
//!
//! [`load`] merges defaults, file, environment and flags (later wins), reads the values that are
//! kept in files of their own, and turns the result into a [`Config`].

mod choice;
mod crosscheck;
mod document;
mod environment;
mod error;
mod leaf;
mod load;
mod read;
#[cfg(test)]
mod reference;
mod secret;
mod secret_url;
mod sink;
mod source;
mod table;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use error::{ConfigError, Violation};
pub use load::{Loaded, Overrides, load};
pub use secret_url::{SecretUrl, WebhookUrl};

/// Everything the relay needs to run.
#[derive(Debug)]
pub struct Config {
    /// The state file (SQLite).
    pub state: PathBuf,
    /// How long a stop may wait for deliveries under way.
    pub shutdown_grace: Duration,
    /// What goes to stderr.
    pub log: LogConfig,
    /// The queues to poll, by name; at least one.
    pub sources: Vec<SourceConfig>,
    /// The destinations, by name; at least one for each source.
    pub sinks: Vec<SinkConfig>,
}

/// `[log]`: what goes to stderr.
#[derive(Clone, Copy, Debug)]
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
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// NAME: its identity in logs and in the state file.
    pub name: String,
    /// The incoming webhook whose owner's queue is read.
    pub webhook_url: WebhookUrl,
    /// `poll`: pace and size.
    pub poll: PollConfig,
}

/// `sources.NAME.poll`.
#[derive(Clone, Copy, Debug)]
pub struct PollConfig {
    /// The pause after a poll that brought all there was.
    pub idle: Duration,
    /// The pause while the portal says that more is waiting.
    pub busy: Duration,
    /// Events asked for in one poll, 1 to 1000.
    pub limit: u16,
    /// The longest a request may take.
    pub timeout: Duration,
}

/// `[sinks.NAME]`: one destination.
#[derive(Clone, Debug)]
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
}

impl SinkConfig {
    /// Whether this sink takes events of the source called `source`.
    pub fn takes_source(&self, source: &str) -> bool {
        self.sources.as_ref().is_none_or(|names| names.iter().any(|name| name == source))
    }
}

/// `sinks.NAME.type` and the keys that belong to it.
#[derive(Clone, Debug)]
pub enum TargetConfig {
    /// `type = "stdout"`.
    Stdout(StdoutConfig),
    /// `type = "file"`.
    File(FileConfig),
    /// `type = "webhook"`.
    Webhook(WebhookConfig),
}

/// A `stdout` sink's own keys.
#[derive(Clone, Copy, Debug)]
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
#[derive(Clone, Debug)]
pub struct FileConfig {
    /// The file that events are appended to.
    pub path: PathBuf,
    /// Its permission bits when it is created.
    pub mode: u32,
}

/// A `webhook` sink's own keys.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Where events are posted.
    pub url: SecretUrl,
    /// The longest an attempt may take.
    pub timeout: Duration,
}

/// `sinks.NAME.retry`: full jitter between zero and a step that doubles from `min` to `max`.
#[derive(Clone, Copy, Debug)]
pub struct RetryConfig {
    /// The first step.
    pub min: Duration,
    /// The last step.
    pub max: Duration,
}
