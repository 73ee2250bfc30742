//! `b24relay run`: the daemon.

use clap::Args;
use tracing::{info, warn};

use super::exit::Exit;
use crate::config::Config;
use crate::relay::{self, Ending, Until};
use crate::shutdown::Signals;
use crate::store::Store;

const EXAMPLES: &str = "\
Examples:
  b24relay run --config /etc/b24relay/b24relay.toml
  b24relay run --once --log-format json    from cron: deliver what is waiting, then leave

Signals:
  SIGTERM, SIGINT  finish what is under way (`shutdown_grace`); a second one leaves at once
  SIGHUP           reopen files (logrotate), try everything that is waiting again at once";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// Deliver what is waiting in every queue, then leave
    #[arg(long)]
    once: bool,
}

/// Polls and delivers until stopped, or with `--once` until every queue is read to its end.
pub async fn run(args: &RunArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    let store = Store::open(&config.state)?;
    let until = if args.once { Until::Drained } else { Until::Stopped };
    info!(version = env!("CARGO_PKG_VERSION"), state = %config.state.display(), "b24relay started");
    let ending = relay::run(config, &store, signals, until).await?;
    match ending {
        Ending::Clean => info!("b24relay stopped, everything read is settled"),
        Ending::CutShort => {
            warn!("b24relay stopped before everything was settled; the rest comes again at the next start");
        }
        Ending::Refused => warn!("b24relay stopped: the portal refused a source"),
    }
    Ok(ending.into())
}
