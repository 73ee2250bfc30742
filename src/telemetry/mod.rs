//! Tracing to stderr, as text or JSON; stdout belongs to the stdout sink.
//!
//! `log.level` applies only to this crate's own lines. At finer levels, libraries may log URLs, and a webhook URL is a
//! secret (G7).

mod line; // priorities for journald
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
use crate::log_code;
use crate::service::RecentProblems;

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// The log settings of this process that can be changed later.
static CONTROLS: OnceLock<Controls> = OnceLock::new();

struct Controls {
    lines: reload::Handle<Lines, Registry>,
    filter: reload::Handle<Targets, Registry>,
}

/// From now on writes log lines to stderr, and the latest warnings and errors also to `troubles`. Only the first call
/// in a process has an effect.
pub fn init(config: LogConfig, problems: &RecentProblems) {
    let (lines, lines_handle) = reload::Layer::new(lines(config.format));
    let (filter, filter_handle) = reload::Layer::new(filter(config.level));
    let problems = problems.clone().with_filter(LevelFilter::WARN);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter)).with(problems);
    // A second subscriber is refused, so only the first call has an effect.
    if subscriber.try_init().is_ok() {
        CONTROLS.set(Controls { lines: lines_handle, filter: filter_handle }).ok();
        panic::set_hook(Box::new(log_panic));
    }
}

/// The standard library's own hook would write to standard error directly and wait for its reader.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let reason = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    error!(
        code = %log_code::THREAD_PANICKED,
        thread = thread::current().name(),
        place = panic.location().map(ToString::to_string),
        reason,
        backtrace,
        "a thread panicked: this is a defect, please report it"
    );
}

/// From now on writes the log lines as `config` says, if logging is on.
pub fn change(config: LogConfig) {
    if let Some(Controls { lines: current, filter: threshold }) = CONTROLS.get() {
        // This only fails if there is no subscriber any more.
        current.reload(lines(config.format)).ok();
        threshold.reload(filter(config.level)).ok();
    }
}

fn lines(format: LogFormat) -> Lines {
    // A failed log write must not end the process, and its error would go to the same place.
    let layer = fmt::layer().with_writer(Stderr::new()).with_target(false).log_internal_errors(false);
    match format {
        LogFormat::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

fn filter(level: LogLevel) -> Targets {
    let ours = [env!("CARGO_CRATE_NAME"), "b24_client", "b24_sandbox"];
    let others = Targets::new().with_default(LevelFilter::WARN);
    ours.into_iter().fold(others, |filter, name| filter.with_target(name, Level::from(level)))
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
