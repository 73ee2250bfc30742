//! The engine: every source polls, every lane settles, every commit comes before the portal forgets.
//!
//! Reading order: `supervisor` has every source run, `plan` and `reload` are what SIGHUP changes, `surroundings`
//! where all that comes from which is not of the engine; `opening` and
//! `assembly` make a source ready, `source` is its loop. Towards the portal:
//! `poller` asks, `preparation` is what must hold before it confirms, `pace` its pauses, `window` what was read and is not confirmed, `odd` what cannot be read, `page_limit` how much is asked for at once, `clock` and `gap` what the portal's 24 hours mean. Towards the sinks: `journal`,
//! then `lane` with `fate`, `schedule`, `gate`, `ledger`, `condition`, `pause`,
//! `graveyard` and `disk`. `callers` is what the sources share of their portals. `replay` is apart from all this:
//! it delivers dead letters.
//!
//! Keeps I6: nothing here relies on an orderly end; a stop is a courtesy to the operator. Keeps G9: no answer of a
//! portal or a receiver ends a daemon, at its start or later; what is refused is parked and tried again.

mod adoption;
mod assembly;
mod callers;
mod clock;
mod condition;
mod dead_letter_log;
mod disk;
mod fate;
mod gap;
mod gate;
mod graveyard;
mod journal;
mod lane;
mod ledger;
mod memory;
mod odd;
mod opening;
mod pace;
mod page_limit;
mod pause;
mod plan;
mod poller;
mod preparation;
mod reload;
mod replay;
mod schedule;
mod settled;
pub mod simulation;
mod source;
mod supervisor;
mod surroundings;
mod window;

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use crate::config::{Config, Overrides};
use crate::portal::{Memory, proxy_to};
use crate::retry::whole_millis;
use crate::service::Witness;
use crate::shutdown::Signals;
use crate::store::{Store, StoreError};
pub use adoption::{adopt, is_same_queue};
pub use callers::Callers;
use dead_letter_log::DeadLetterLog;
pub use memory::{NoMemory, StoreMemory};
use opening::{Claims, Common, Shares};
pub use replay::{Replay, Replayed};
use supervisor::{Hangup, Supervisor};
pub use surroundings::warn_of_notices;
use surroundings::{Real, Surroundings};

/// What idle loops need to notice a stop: without any grace at all they are not cut short either.
const NOTICE: Duration = Duration::from_millis(500);

/// When a run is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// When a stop is asked for.
    Stopped,
    /// When every queue has been read to its end and delivered, or cannot be.
    Drained,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ending {
    /// Everything that was read is settled.
    Clean,
    /// Some events were left for the next run: they are still in the portal's queue.
    CutShort,
    /// The portal refused a source in a way that needs a person. Only a drain ends so.
    Refused,
}

/// What ends the whole process.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A sink that cannot come back, such as a closed standard output: leave with 74.
    #[error("sinks.{sink}: {reason}")]
    SinkClosed {
        /// The sink's name.
        sink: String,
        /// What happened.
        reason: String,
    },
    /// The state file: leave with the code of its own error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration cannot be used: leave with 78.
    #[error("{0}")]
    Setup(String),
    /// A source has no way to call its portal: a drain leaves with 78, a daemon parks the source.
    #[error("{0}")]
    NoClient(String),
    /// What is remembered of a portal cannot be read from the state file: leave with 74.
    #[error("{0}")]
    NoMemory(String),
    /// A defect: leave with 70.
    #[error("a task panicked: {0}")]
    Panicked(String),
}

/// Runs every source of `config` until it is over.
///
/// # Errors
/// See [`RelayError`]. What a source or a sink meets on its way is no error: it is waited out.
pub async fn run(
    config: &Config,
    store: &Store,
    signals: &Signals,
    until: Until,
    witness: &Witness,
) -> Result<Ending, RelayError> {
    let common = common(config, store, signals, until, witness, real(&Overrides::default())).await?;
    run_through(config, common, Hangup::Nudges).await
}

/// The same for a daemon that reloads its configuration at SIGHUP, with these `overrides`.
///
/// # Errors
/// As [`run`].
pub async fn run_reloading(
    config: &Config,
    store: &Store,
    signals: &Signals,
    overrides: &Overrides,
    witness: &Witness,
) -> Result<Ending, RelayError> {
    let common = common(config, store, signals, Until::Stopped, witness, real(overrides)).await?;
    run_through(config, common, Hangup::Reloads).await
}

fn real(overrides: &Overrides) -> Arc<dyn Surroundings> {
    Arc::new(Real { overrides: overrides.clone() })
}

async fn run_through(config: &Config, common: Common, hangup: Hangup) -> Result<Ending, RelayError> {
    let (signals, witness) = (common.signals.clone(), common.witness.clone());
    let mut supervisor = Supervisor::open(config, common).await?;
    let grace = supervisor.grace.subscribe();
    let grace_is_over = async {
        signals.stop.cancelled().await;
        witness.vitals.drain();
        let grace = *grace.borrow();
        info!(grace_ms = whole_millis(grace), "stopping: finishing what is under way");
        tokio::time::sleep(grace.max(NOTICE)).await;
    };
    let ending = tokio::select! {
        biased;
        ending = supervisor.run(hangup) => ending,
        () = grace_is_over => Ok(Ending::CutShort),
    };
    // Whatever the grace: a pair issued and not kept would be a login lost.
    supervisor.common.callers.rest().await;
    ending
}

async fn common(
    config: &Config,
    store: &Store,
    signals: &Signals,
    until: Until,
    witness: &Witness,
    surroundings: Arc<dyn Surroundings>,
) -> Result<Common, RelayError> {
    refuse_unusable_proxies(config)?;
    let memory: Arc<dyn Memory> = Arc::new(StoreMemory(store.clone()));
    let callers = Callers::open(config, &config.sources, &memory).await.map_err(RelayError::NoMemory)?;
    callers.warn_of_stretching(&config.sources);
    callers.tell_moves().await;
    Ok(Common {
        callers: Arc::new(callers),
        claims: Claims::default(),
        dead_letter_log: DeadLetterLog::default(),
        delivery: config.delivery,
        shares: Shares::of(config),
        store: store.clone(),
        signals: signals.clone(),
        lane_signals: signals.clone(),
        until,
        witness: witness.clone(),
        surroundings,
    })
}

/// A variable of the environment that names no usable proxy is a mistake in the configuration: no portal has a say in it.
fn refuse_unusable_proxies(config: &Config) -> Result<(), RelayError> {
    for source in &config.sources {
        let usable = proxy_to(source.portal());
        usable.map_err(|reason| RelayError::Setup(format!("sources.{}: {reason}", source.name)))?;
    }
    Ok(())
}
