//! `b24relay demo`: runs the relay and an emulated portal in one process.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use b24_sandbox::{QueueStats, Sandbox, SandboxConfig};
use clap::Args;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cli::exit_code::Exit;
use crate::cli::output::print::remark;
use crate::cli::{GlobalArgs, sandbox};
use crate::config::{
    AccessConfig, Config, ConnectionConfig, DeliveryConfig, FilterConfig, GiveUp, Keys, LogConfig, LogFormat,
    LogLevel, PollConfig, PortalConfig, QueueKind, RetryConfig, SinkConfig, SourceConfig, StartConfig,
    StdoutConfig, StdoutFormat, TargetConfig, ThroughputConfig, WebhookUrl,
};
use crate::human::duration;
use crate::relay::{self, Until};
use crate::service::{RecentProblems, Telemetry};
use crate::shutdown::Signals;
use crate::store::Store;
use crate::telemetry;

/// The interval of the summary line.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  b24relay demo
  b24relay demo --for 10s --rate 5
  b24relay demo 2>/dev/null                only the events";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArgs {
    /// Exit after this time instead of waiting for Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    length: Option<Duration>,
    /// Events per second on the whole portal
    #[arg(long, default_value_t = 4.0, value_name = "EVENTS", value_parser = sandbox::rate)]
    rate: f64,
}

/// Starts a portal and a relay, and prints the delivered events.
pub(super) async fn run(args: &DemoArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    telemetry::init(global.log(LogLevel::Warn), &RecentProblems::default());
    let sandbox_config = SandboxConfig { rate: args.rate, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(sandbox_config).await.context("start the emulated portal")?;
    let folder = tempfile::tempdir().context("create a temporary folder")?;
    let config = config(&sandbox, folder.path())?;
    let store = Store::open(&config.state)?;
    introduce(&sandbox, args);

    let done = CancellationToken::new();
    let relay = async {
        let ending = relay::run(&config, &store, signals, Until::Stopped, &Telemetry::default()).await;
        done.cancel();
        ending
    };
    let (ending, (), ()) = tokio::join!(
        relay,
        keep_summing_up(&sandbox, &config.state, &done),
        stop_after(args.length, signals, &done)
    );
    let ending = ending?;
    if sum_up(&sandbox, &config.state)? == 0 {
        remark("demo: no event was shown");
        return Ok(Exit::Unavailable);
    }
    remark("demo: done; README.md tells how to point b24relay at a real portal");
    Ok(ending.into())
}

/// The configuration that a real installation would have in its file.
fn config(sandbox: &Sandbox, folder: &Path) -> anyhow::Result<Config> {
    let source = |user_id: u64| {
        let webhook_url = WebhookUrl::parse(&sandbox.webhook_url(user_id)).map_err(anyhow::Error::msg)?;
        // Polls more often than by default, because somebody is watching.
        let poll = PollConfig {
            idle: Duration::from_millis(500),
            idle_max: Duration::from_millis(500),
            busy: Duration::ZERO,
            limit: 1000,
            timeout: Duration::from_secs(30),
        };
        anyhow::Ok(SourceConfig {
            name: format!("user{user_id}"),
            kind: QueueKind::User,
            access: AccessConfig::Webhook(webhook_url),
            poll,
            confirm_lag: Duration::from_secs(2),
            connection: ConnectionConfig::default(),
        })
    };
    let console = SinkConfig {
        name: "console".into(),
        target: TargetConfig::Stdout(StdoutConfig { format: StdoutFormat::Text }),
        sources: None,
        events: None,
        filter: FilterConfig::default(),
        retry: RetryConfig {
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
            give_up: GiveUp::Never,
        },
        max_event_age: None,
        start: StartConfig::Oldest,
        flow: ThroughputConfig::STRICT,
    };
    Ok(Config {
        http: None,
        state: folder.join("b24relay.db"),
        shutdown_grace: Duration::from_secs(5),
        delivery: DeliveryConfig::default(),
        log: LogConfig { format: LogFormat::Text, level: LogLevel::Warn },
        sources: sandbox.user_ids().into_iter().map(source).collect::<anyhow::Result<_>>()?,
        sinks: vec![console],
        // No other client uses this portal.
        portals: BTreeMap::from([(sandbox.address().to_string(), PortalConfig::with_rate(None))]),
        keys: Keys::default(),
    })
}

fn introduce(sandbox: &Sandbox, args: &DemoArgs) {
    remark(&format!("demo: an emulated Bitrix24 portal runs at http://{}", sandbox.address()));
    remark(&format!(
        "demo: {} users chat there, {} events a second; each one's queue is polled,",
        sandbox.user_ids().len(),
        args.rate
    ));
    remark("demo: every event goes to standard output, and only then may the portal forget it;");
    remark("demo: a line begins with the time of the event on the portal, whose clock shows UTC+3");
    match args.length {
        Some(length) => {
            remark(&format!(
                "demo: ends by itself after {} s; Ctrl-C ends it sooner\n",
                length.as_secs_f64()
            ));
        }
        None => remark("demo: Ctrl-C ends it\n"),
    }
}

async fn keep_summing_up(sandbox: &Sandbox, state: &Path, done: &CancellationToken) {
    while timeout(SUMMARY_INTERVAL, done.cancelled()).await.is_err() {
        // If the state cannot be read now, the next round reads it.
        sum_up(sandbox, state).ok();
    }
}

/// Compares the events that happened, from the portal, with the events that were delivered, from the state file. It
/// reads the portal first, so that the portal has not confirmed any event that the state file does not show as
/// delivered. Returns how many events were delivered.
fn sum_up(sandbox: &Sandbox, state: &Path) -> anyhow::Result<u64> {
    let seen = sandbox.stats();
    let total = |count: fn(&QueueStats) -> u64| seen.users.values().map(count).sum::<u64>();
    let (happened, confirmed) = (total(|queue| queue.recorded), total(|queue| queue.confirmed));
    let delivered: u64 = Store::report(state)?.lanes.iter().map(|lane| lane.delivered).sum();
    remark(&format!(
        "demo: {happened} events happened: {confirmed} delivered and forgotten by the portal, {} delivered and kept \
         there for `confirm_lag`, {} not yet read, {} lost; {} requests",
        delivered.saturating_sub(confirmed),
        happened.saturating_sub(delivered),
        total(|queue| queue.confirmed_unserved),
        seen.requests.values().sum::<u64>(),
    ));
    Ok(delivered)
}

async fn stop_after(length: Option<Duration>, signals: &Signals, done: &CancellationToken) {
    if let Some(length) = length
        && timeout(length, done.cancelled()).await.is_err()
    {
        signals.stop.cancel();
    }
}
