//! `b24relay run`: the daemon.

use clap::Args;
use tracing::{error, info, warn};

use super::GlobalArgs;
use super::exit::{BusyError, Exit, UsageError};
use crate::relay::{self, Ending, Until};
use crate::service::{Troubles, View, Witness};
use crate::shutdown::Signals;
use crate::store::Store;
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  b24relay run --config /etc/b24relay/b24relay.toml
  b24relay run --once --log-format json    from cron: deliver what is waiting, then leave
  b24relay run --forget crm                the sink `crm` is gone for good, with what it has not got

Signals:
  SIGTERM, SIGINT  finish what is under way (`shutdown_grace`); a second one leaves at once
  SIGHUP           reload the configuration (one with mistakes changes nothing), reopen files
                   (logrotate), try everything that is waiting again at once";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// Deliver what is waiting in every queue, then leave
    #[arg(long)]
    once: bool,
    /// Let go of what a sink has not got that is no longer configured; may be given again
    #[arg(long, value_name = "SINK")]
    forget: Vec<String>,
}

/// Polls and delivers until stopped, or with `--once` until every queue is read to its end.
/// Without it, what `global` says of the configuration is heeded again at SIGHUP.
pub async fn run(args: &RunArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    let (config, troubles) = (&global.load()?, Troubles::default());
    telemetry::init(config.log, &troubles);
    if let Some(sink) = config.sinks.iter().find(|sink| args.forget.contains(&sink.name)) {
        let reason = format!("`--forget {0}`: the sink `{0}` is configured; remove it first", sink.name);
        return Err(UsageError(reason).into());
    }
    let store = Store::open(&config.state)?;
    info!(version = env!("CARGO_PKG_VERSION"), state = %config.state.display(), "b24relay started");
    for sink in &args.forget {
        match store.forget_sink(sink).await? {
            // No reason to leave: a unit may say it at every start.
            0 => warn!(sink, "`--forget`: nothing is on record of such a sink"),
            sources => info!(sink, sources, "sink forgotten, with what it had not got"),
        }
    }
    let witness = Witness::default();
    // A drain is over before anybody could look.
    if !args.once {
        let server = witness.surface.prepare(config.http.as_ref()).await.map_err(BusyError)?;
        witness.show_through(server);
    }
    let view = View::new(&store, &witness, &troubles);
    let work = async {
        if args.once {
            relay::run(config, &store, signals, Until::Drained, &witness).await
        } else {
            relay::run_reloading(config, &store, signals, &global.overrides(), &witness).await
        }
    };
    let ending = tokio::select! {
        biased;
        ending = work => ending,
        // It never ends by itself.
        () = view.show() => Ok(Ending::CutShort),
    };
    view.close().await;
    let ending = ending?;
    match ending {
        Ending::Clean => info!("b24relay stopped, everything read is settled"),
        Ending::CutShort => {
            warn!("b24relay stopped before everything was settled; the rest comes again at the next start");
        }
        Ending::Refused => error!("b24relay stopped: a source cannot be polled"),
    }
    Ok(ending.into())
}
