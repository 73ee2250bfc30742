//! Tracing to stderr, as text or JSON; stdout belongs to the stdout sink.
//!
//! Only this crate's own lines obey `log.level`: what libraries say at finer levels may hold URLs,
//! and a webhook URL is a secret (G7).

mod line;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal as _};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;

use tracing::{Level, error};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use self::line::Stderr;
use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::service::Troubles;

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// What can be changed of the log of this process: there is only one.
static CONTROLS: OnceLock<Controls> = OnceLock::new();

struct Controls {
    lines: reload::Handle<Lines, Registry>,
    filter: reload::Handle<Targets, Registry>,
}

/// Sends log lines to stderr from now on, and the latest troubles to `troubles` as well. Only the first call of a
/// process has an effect.
pub fn init(config: LogConfig, troubles: &Troubles) {
    let (lines, lines_handle) = reload::Layer::new(lines(config.format));
    let (filter, filter_handle) = reload::Layer::new(filter(config.level));
    let troubles = troubles.clone().with_filter(LevelFilter::WARN);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter)).with(troubles);
    // A second subscriber is refused, which is what "only the first call" means.
    if subscriber.try_init().is_ok() {
        CONTROLS.set(Controls { lines: lines_handle, filter: filter_handle }).ok();
        panic::set_hook(Box::new(log_panic));
    }
}

/// The standard library's own hook would write to standard error itself, and wait for its reader.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let reason = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    error!(
        thread = thread::current().name(),
        place = panic.location().map(ToString::to_string),
        reason,
        backtrace,
        "a thread panicked: this is a defect, please report it"
    );
}

/// Writes them as `config` says from now on, if they are written at all.
pub fn change(config: LogConfig) {
    if let Some(Controls { lines: current, filter: threshold }) = CONTROLS.get() {
        // They fail only when there is no subscriber any more.
        current.reload(lines(config.format)).ok();
        threshold.reload(filter(config.level)).ok();
    }
}

fn lines(format: LogFormat) -> Lines {
    // A log that cannot be written is no reason to die: its own complaint would go to the same place.
    let layer = fmt::layer().with_writer(Stderr::new()).with_target(false).log_internal_errors(false);
    match format {
        LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

fn filter(level: LogLevel) -> Targets {
    Targets::new().with_default(LevelFilter::WARN).with_target(env!("CARGO_CRATE_NAME"), Level::from(level))
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
