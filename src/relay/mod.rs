//! The engine: every source polls, every lane settles, every commit comes before the portal forgets.
//!
//! Reading order: `source` is the loop, `pace` its pauses, `dispatcher` and `lane` the way to the
//! sinks. Keeps I6: nothing here relies on an orderly end; a stop is a courtesy to the operator.

mod dispatcher;
mod lane;
mod pace;
mod source;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::config::{Config, SourceConfig};
use crate::event::{Offset, Queue};
use crate::portal::{Caller, UserQueue};
use crate::retry::whole_millis;
use crate::shutdown::Signals;
use crate::sink::{self, Sink};
use crate::store::{Store, StoreError};
use lane::Lane;
use source::Source;

/// What idle loops need to notice a stop: without any grace at all they are not cut short either.
const NOTICE: Duration = Duration::from_millis(100);

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
    /// The portal refused a source in a way that needs a person.
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
    /// Something could not be set up: leave with 78.
    #[error("{0}")]
    Setup(String),
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
) -> Result<Ending, RelayError> {
    let mut sinks = Vec::new();
    for sink in &config.sinks {
        let built = sink::build(sink, signals);
        sinks.push(built.map_err(|reason| RelayError::Setup(format!("sinks.{}: {reason}", sink.name)))?);
    }
    // Every source is checked before the first one asks its portal for anything.
    let mut sources = Vec::new();
    for source in &config.sources {
        sources.push(open(config, source, &sinks, store, signals, until).await?);
    }
    let mut loops = JoinSet::new();
    for source in sources {
        loops.spawn(source.run());
    }
    let grace_is_over = async {
        signals.stop.cancelled().await;
        info!(grace_ms = whole_millis(config.shutdown_grace), "stopping: finishing what is under way");
        tokio::time::sleep(config.shutdown_grace.max(NOTICE)).await;
    };
    tokio::select! {
        biased;
        ending = join(&mut loops) => ending,
        () = grace_is_over => Ok(Ending::CutShort),
    }
}

/// The worst ending of all loops, or the first error.
async fn join(loops: &mut JoinSet<Result<Ending, RelayError>>) -> Result<Ending, RelayError> {
    let mut worst = Ending::Clean;
    while let Some(joined) = loops.join_next().await {
        worst = worst.max(joined.map_err(|panic| RelayError::Panicked(panic.to_string()))??);
    }
    Ok(worst)
}

async fn open(
    config: &Config,
    source: &SourceConfig,
    sinks: &[Arc<dyn Sink>],
    store: &Store,
    signals: &Signals,
    until: Until,
) -> Result<Source, RelayError> {
    let identity = source.identity().unwrap_or_default();
    let queue = Arc::new(Queue::new(&source.name, &identity));
    let mut checkpoints = store.adopt(&queue).await?;
    let caller = Caller::try_new(source)
        .map_err(|reason| RelayError::Setup(format!("sources.{}: {reason}", source.name)))?;
    let mut lanes = Vec::new();
    for (sink, built) in config.sinks.iter().zip(sinks).filter(|(sink, _)| sink.takes_source(&source.name)) {
        let checkpoint = checkpoints.remove(&sink.name).unwrap_or(Offset::START);
        lanes.push(Lane::new(&source.name, sink, Arc::clone(built), checkpoint, store, signals, until));
    }
    for sink in checkpoints.keys() {
        warn!(source = source.name, sink, "sink is no longer configured: what it had not settled is let go");
    }
    let queue = UserQueue::new(caller, queue);
    Ok(Source::new(queue, source.poll, lanes, store, signals, until))
}
