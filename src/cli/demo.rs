//! `b24relay demo`: the relay at work, in one process with an emulated portal.
#![expect(clippy::print_stderr, reason = "standard output belongs to the events")]

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::SignedDuration;

use super::GlobalArgs;
use super::exit::Exit;
use crate::config::{
    Config, LogConfig, LogFormat, LogLevel, PollConfig, RetryConfig, SinkConfig, SourceConfig, StdoutConfig,
    StdoutFormat, TargetConfig, WebhookUrl,
};
use crate::relay::{self, Until};
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::shutdown::Signals;
use crate::store::Store;

/// How often the summary line comes.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  b24relay demo
  b24relay demo --for 10s --rate 5
  b24relay demo 2>/dev/null                only the events";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// Leave after so long instead of waiting for Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    length: Option<Duration>,
    /// Events a second over the whole portal
    #[arg(long, default_value_t = 4.0, value_name = "EVENTS")]
    rate: f64,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "write it like 10s, 2m or 1h".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "must not be negative".to_owned())
}

/// Starts a portal and a relay, and shows what comes through.
pub async fn run(args: &DemoArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    let level = global.log_level.unwrap_or(LogLevel::Warn);
    crate::telemetry::init(LogConfig { format: global.log_format.unwrap_or(LogFormat::Text), level });
    let sandbox_config = SandboxConfig { rate: args.rate, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(sandbox_config).await.context("start the emulated portal")?;
    let folder = tempfile::tempdir().context("create a temporary folder")?;
    let config = config(&sandbox, folder.path())?;
    let store = Store::open(&config.state)?;
    introduce(&sandbox, args);

    let ending = tokio::select! {
        ending = relay::run(&config, &store, signals, Until::Stopped) => ending,
        never = keep_summing_up(&sandbox) => match never {},
        never = stop_after(args.length, signals) => match never {},
    }?;
    sum_up(&sandbox);
    eprintln!("demo: done. Next: point it at a real portal, see `b24relay run --help` and README.md");
    Ok(ending.into())
}
