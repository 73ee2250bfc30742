//! The engine: every source polls, every lane settles, every commit comes before the portal forgets.
//!
//! Keeps I6: nothing here relies on an orderly end; a stop is a courtesy to the operator. Keeps G9: no answer of a
//! portal or a receiver ends a daemon, at its start or later.

mod clock; // the portal's time
mod context; // state that sources and lanes share
mod host; // everything from outside: configuration, portals, sinks
mod journal; // polls append to it, lanes read it
mod key_value; // the portal client's store, in the state file
mod lane; // one sink's way through one journal
mod outcome; // how runs and their parts end
mod portal_clients; // one caller for each source, one grant for each login
mod replay; // delivers dead letters, apart from the rest
pub mod simulation; // the entry of `tests/simulation`
mod source; // the poll loop of one queue
mod state_retry; // waits for a disk that refuses a write
mod supervisor; // a task for each source; start, reload, end
use std::sync::Arc;
use std::time::Duration;

use b24_client::{KeyValue, proxy_to};
use context::{EngineContext, QueueOwners, Shares};
use tracing::info;

use crate::config::{Config, Overrides};
use crate::retry::whole_millis;
use crate::service::Telemetry;
use crate::shutdown::Signals;
use crate::store::Store;
pub use clock::SKEW_MAX;
pub use host::warn_of_notices;
use host::{Host, RealHost};
pub use key_value::StoreKeyValue;
use lane::dead_letter_log::DeadLetterLog;
pub use outcome::{Ending, RelayError, Until};
pub use portal_clients::PortalClients;
pub use replay::{Replay, Replayed};
pub use source::portal_queue::PortalQueue;
pub use source::upstream::Upstream;
pub use supervisor::queue_identity::{bind, is_same_queue};
use supervisor::tasks::{Hangup, Supervisor};

/// How long idle loops may take to notice a stop. They get this time even if the grace period is zero.
const NOTICE: Duration = Duration::from_millis(500);

/// Runs every source of `config` until the run is over.
///
/// # Errors
/// See [`RelayError`]. A failing source or sink is not an error: it is retried.
pub async fn run(
    config: &Config,
    store: &Store,
    signals: &Signals,
    until: Until,
    telemetry: &Telemetry,
) -> Result<Ending, RelayError> {
    let context = context(config, store, signals, until, telemetry, real(&Overrides::default())).await?;
    run_through(config, context, Hangup::Nudges).await
}

/// Like [`run`], for a daemon that reloads its configuration on SIGHUP, with these `overrides`.
pub async fn run_reloading(
    config: &Config,
    store: &Store,
    signals: &Signals,
    overrides: &Overrides,
    telemetry: &Telemetry,
) -> Result<Ending, RelayError> {
    let context = context(config, store, signals, Until::Stopped, telemetry, real(overrides)).await?;
    run_through(config, context, Hangup::Reloads).await
}

fn real(overrides: &Overrides) -> Arc<dyn Host> {
    Arc::new(RealHost { overrides: overrides.clone() })
}

async fn run_through(config: &Config, context: EngineContext, hangup: Hangup) -> Result<Ending, RelayError> {
    let (signals, telemetry) = (context.signals.clone(), context.telemetry.clone());
    let mut supervisor = Supervisor::open(config, context).await?;
    let grace = supervisor.grace.subscribe();
    let grace_is_over = async {
        signals.stop.cancelled().await;
        telemetry.liveness.drain();
        let grace = *grace.borrow();
        info!(grace_ms = whole_millis(grace), "stopping: finishing what is under way");
        tokio::time::sleep(grace.max(NOTICE)).await;
    };
    let ending = tokio::select! {
        biased;
        ending = supervisor.run(hangup) => ending,
        () = grace_is_over => Ok(Ending::CutShort),
    };
    // Wait for this whatever the grace period is: a token pair that was issued and not stored would be a lost login.
    supervisor.context.clients.rest().await;
    ending
}

async fn context(
    config: &Config,
    store: &Store,
    signals: &Signals,
    until: Until,
    telemetry: &Telemetry,
    host: Arc<dyn Host>,
) -> Result<EngineContext, RelayError> {
    refuse_unusable_proxies(config)?;
    let key_value: Arc<dyn KeyValue> = Arc::new(StoreKeyValue(store.clone()));
    let clients =
        PortalClients::open(config, &config.sources, &key_value).await.map_err(RelayError::NoKeyValue)?;
    clients.warn_of_stretching(&config.sources);
    clients.tell_moves().await;
    Ok(EngineContext {
        clients: Arc::new(clients),
        owners: QueueOwners::default(),
        dead_letter_log: DeadLetterLog::default(),
        delivery: config.delivery,
        shares: Shares::of(config),
        store: store.clone(),
        signals: signals.clone(),
        lane_signals: signals.clone(),
        until,
        telemetry: telemetry.clone(),
        host,
    })
}

/// Refuses a proxy variable of the environment that names no usable proxy. That is a mistake in the configuration,
/// which no portal can cause.
fn refuse_unusable_proxies(config: &Config) -> Result<(), RelayError> {
    for source in &config.sources {
        let usable = proxy_to(source.portal());
        usable.map_err(|reason| RelayError::Setup(format!("sources.{}: {reason}", source.name)))?;
    }
    Ok(())
}
