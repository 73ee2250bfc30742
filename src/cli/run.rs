//! `b24relay run`: the daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use b24_client::KeyValue;
use clap::Args;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tracing::{error, info, warn};

use crate::cli::GlobalArgs;
use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::cli::output::consent::ConsentArgs;
use crate::cli::portal::loss::{self, Loss};
use crate::config::{self, Config, Overrides};
use crate::log_code;
use crate::relay::{self, Ending, PortalClients, StoreKeyValue, Until};
use crate::service::{Place, RecentProblems, Telemetry, View};
use crate::shutdown::Signals;
use crate::store::Store;
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  b24relay run --config /etc/b24relay/b24relay.toml
  b24relay run --webhook-url-file support.url --stdout    without a configuration file
  b24relay run --once --log-format json    from cron: deliver the waiting events, then exit
  b24relay run --new-state                 start again after the state file was lost
  b24relay run --forget crm --dry-run      how many undelivered events has the removed sink `crm`?
  b24relay run --forget crm --yes          discard the undelivered events of the removed sink `crm`

Signals:
  SIGTERM, SIGINT  finish current deliveries (`shutdown_grace`), then exit; a second signal,
                   at least 500 ms later, exits immediately
  SIGHUP           reload the configuration (one with mistakes changes nothing), reopen files
                   (logrotate), retry everything that is waiting immediately; if the terminal was
                   closed, stop as on SIGTERM (not under nohup)";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// Deliver the events waiting in every queue, then exit
    #[arg(long)]
    once: bool,
    /// Discard undelivered events of a sink that is no longer configured; asks first (repeatable)
    #[arg(long, value_name = "SINK")]
    forget: Vec<String>,
    /// Start with an empty state file if the one that was used here is gone; no effect if it exists
    #[arg(long)]
    new_state: bool,
    /// Read the queue of the webhook whose URL is in this file, without a configuration file; needs --stdout
    #[arg(long, value_name = "FILE", requires = "stdout")]
    webhook_url_file: Option<PathBuf>,
    /// Print each event as a line of JSON; the state file is ./b24relay.db unless --state names another
    #[arg(long, requires = "webhook_url_file")]
    stdout: bool,
    /// Die with this process, which has started this one; for `demo`
    #[arg(long, hide = true, value_name = "PID")]
    with_parent: Option<u32>,
    #[command(flatten)]
    consent: ConsentArgs,
}

/// `path` from the root on, as an operator in another folder needs it.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The name of the machine, and the process.
fn instance() -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{machine}, process {}", std::process::id())
}

impl RunArgs {
    /// The settings that flags override.
    fn overrides(&self, global: &GlobalArgs) -> Result<Overrides, UsageError> {
        if let (Some(_), Some(file)) = (&self.webhook_url_file, &global.config) {
            let reason = format!(
                "`--webhook-url-file` is for a run without a configuration file, and `--config {}` names one: give one \
                 of the two",
                file.display()
            );
            return Err(UsageError(reason));
        }
        Ok(Overrides { webhook_url_file: self.webhook_url_file.clone(), ..global.overrides() })
    }
}

/// Polls and delivers until stopped, or with `--once` until every queue is read to its end. Without `--once`, a SIGHUP
/// reloads the configuration, with the flags of `global`.
pub(super) async fn run(args: &RunArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    if args.with_parent.is_some_and(|parent| !dies_with(parent)) {
        return Ok(Exit::Temporary);
    }
    let overrides = args.overrides(global)?;
    let (loaded, problems) = (config::load(&overrides)?, RecentProblems::default());
    let config = &loaded.config;
    telemetry::init(config.log, &problems);
    relay::warn_of_notices(&loaded.notices);
    if let Some(sink) = config.sinks.iter().find(|sink| args.forget.contains(&sink.name)) {
        let reason = format!("`--forget {0}`: the sink `{0}` is configured; remove it first", sink.name);
        return Err(UsageError(reason).into());
    }
    if args.forget.is_empty() && args.consent.is_given_at_all() {
        let reason = "`--yes` and `--dry-run` are for `--forget SINK` alone";
        return Err(UsageError(reason.to_owned()).into());
    }
    if !args.new_state {
        Store::check_presence(&config.state)?;
    }
    let store = Store::open(&config.state)?;
    if !args.forget.is_empty() && !is_forgetting_wanted(args, config, &store, signals).await? {
        return Ok(Exit::Clean);
    }
    info!(version = env!("CARGO_PKG_VERSION"), state = %config.state.display(), "b24relay started");
    for sink in &args.forget {
        match store.forget_sink(sink).await? {
            // This does not end the process: a systemd unit may pass the flag at every start.
            0 => {
                warn!(code = %log_code::NOTHING_TO_FORGET, sink, "`--forget`: the state file has no such sink");
            }
            sources => info!(sink, sources, "sink forgotten, with what it had not got"),
        }
    }
    let telemetry = Telemetry::default();
    // A drain ends too soon to be observed.
    if !args.once {
        let server = telemetry.listener.prepare(config.http.as_ref()).await?;
        telemetry.show_through(server);
    }
    let place = Place { instance: instance(), configuration: loaded.file.as_deref().map(whole) };
    let view = View::new(&store, &telemetry, &problems, place);
    let work = async {
        if args.once {
            relay::run(config, &store, signals, Until::Drained, &telemetry).await
        } else {
            relay::run_reloading(config, &store, signals, &overrides, &telemetry).await
        }
    };
    let ending = tokio::select! {
        biased;
        ending = work => ending,
        // This future never ends.
        () = view.show() => Ok(Ending::CutShort),
    };
    view.close().await;
    let ending = ending?;
    match ending {
        Ending::Clean => {
            info!("b24relay stopped: everything that was read is delivered, or in the state file");
        }
        Ending::CutShort => {
            warn!(code = %Exit::from(ending).code(), "b24relay stopped before it was done: nothing is lost, the rest follows after the next start");
        }
        Ending::Refused => {
            error!(code = %Exit::from(ending).code(), "b24relay stopped: a source cannot be polled");
        }
    }
    Ok(ending.into())
}

/// From now on the end of `parent` kills this process. Returns false if it has ended already.
fn dies_with(parent: u32) -> bool {
    // No supported kernel refuses it.
    set_parent_process_death_signal(Some(Signal::KILL)).ok();
    getppid().is_some_and(|id| u32::try_from(id.as_raw_nonzero().get()) == Ok(parent))
}

/// Reports how many events are lost with the forgotten sinks, and asks.
async fn is_forgetting_wanted(
    args: &RunArgs,
    config: &Config,
    store: &Store,
    signals: &Signals,
) -> anyhow::Result<bool> {
    let key_value: Arc<dyn KeyValue> = Arc::new(StoreKeyValue(store.clone()));
    let clients = PortalClients::open(config, &config.sources, &key_value).await?;
    let mut loss = Loss::default();
    for sink in &args.forget {
        for source in store.sources_of(sink).await? {
            loss.add(left_by(sink, &source, config, store, &clients).await?);
        }
    }
    let names: Vec<String> = args.forget.iter().map(|sink| format!("`{sink}`")).collect();
    let what = format!("have not been delivered to {} and will not be", names.join(", "));
    loss.ask(&args.consent, &what, "forget them?", signals).await
}

/// The events of `source` that are undelivered to `sink`.
async fn left_by(
    sink: &str,
    source: &str,
    config: &Config,
    store: &Store,
    clients: &PortalClients,
) -> anyhow::Result<Loss> {
    let known = store.undelivered(source).await?;
    let is_concerned = |other: &str| other == sink;
    let mut loss = Loss::of_journal(source, &known, None, is_concerned);
    if let Some(source) = config.sources.iter().find(|other| other.name == source) {
        loss.add_page(loss::page(source, clients).await, None, |event| known.lacks(event.id, is_concerned));
    }
    Ok(loss)
}
