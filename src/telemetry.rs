//! Tracing to stderr, as text or JSON; stdout belongs to the stdout sink.
//!
//! Only this crate's own lines obey `log.level`: what libraries say at finer levels may hold URLs,
//! and a webhook URL is a secret (G7).

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::service::Troubles;

/// Sends log lines to stderr from now on, and the latest troubles to `troubles` as well. Only the first call of a
/// process has an effect.
pub fn init(config: LogConfig, troubles: &Troubles) {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target(env!("CARGO_CRATE_NAME"), Level::from(config.level));
    // A log that cannot be written is no reason to die: its own complaint would go to the same place.
    let layer = fmt::layer().with_writer(io::stderr).with_target(false).log_internal_errors(false);
    let layer = match config.format {
        LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    };
    // A second subscriber is refused, which is what "only the first call" means.
    let troubles = troubles.clone().with_filter(LevelFilter::WARN);
    tracing_subscriber::registry().with(layer.with_filter(filter)).with(troubles).try_init().ok();
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}
