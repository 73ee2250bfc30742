//! One run of the engine, from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use b24_client::{KeyValue, proxy_to};
use tracing::info;

use crate::config::{Config, Overrides};
use crate::relay::context::{EngineContext, QueueOwners, Shares};
use crate::relay::host::{Host, RealHost};
use crate::relay::key_value::StoreKeyValue;
use crate::relay::lane::dead_letter_log::DeadLetterLog;
use crate::relay::outcome::{Ending, RelayError, Until};
use crate::relay::portal_clients::PortalClients;
use crate::relay::supervisor::tasks::{Hangup, Supervisor};
use crate::retry::whole_millis;
use crate::service::Telemetry;
use crate::shutdown::Signals;
use crate::store::Store;

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
    let host = Arc::new(RealHost { overrides: Overrides::default() });
    let (store, signals, telemetry) = (store.clone(), signals.clone(), telemetry.clone());
    Run { config: config.clone(), host, store, signals, until, telemetry }.through(Hangup::Nudges).await
}

/// Like [`run`], for a daemon that reloads its configuration on SIGHUP, with these `overrides`.
pub async fn run_reloading(
    config: &Config,
    store: &Store,
    signals: &Signals,
    overrides: &Overrides,
    telemetry: &Telemetry,
) -> Result<Ending, RelayError> {
    let host = Arc::new(RealHost { overrides: overrides.clone() });
    let (store, signals, telemetry) = (store.clone(), signals.clone(), telemetry.clone());
    let run = Run { config: config.clone(), host, store, signals, until: Until::Stopped, telemetry };
    run.through(Hangup::Reloads).await
}

/// One run of the engine.
pub struct Run {
    /// The configuration at the start.
    pub config: Config,
    /// The host of the run.
    pub host: Arc<dyn Host>,
    /// The state file, which outlives the run.
    pub store: Store,
    /// The signals to the run. A nudge reloads the configuration, except in a drain.
    pub signals: Signals,
    /// When the run is over.
    pub until: Until,
    /// Receives the metrics and notes of the run.
    pub telemetry: Telemetry,
}

impl Run {
    /// Performs the run. Dropping the future simulates a crash, once the runtime has dropped its tasks as well.
    ///
    /// # Errors
    /// See [`run`].
    pub async fn run(&self) -> Result<Ending, RelayError> {
        self.through(match self.until {
            Until::Stopped => Hangup::Reloads,
            Until::Drained => Hangup::Nudges,
        })
        .await
    }

    async fn through(&self, hangup: Hangup) -> Result<Ending, RelayError> {
        let Self { signals, telemetry, .. } = self;
        let mut supervisor = Supervisor::open(&self.config, self.context().await?).await?;
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

    async fn context(&self) -> Result<EngineContext, RelayError> {
        let Self { config, host, store, signals, until, telemetry } = self;
        refuse_unusable_proxies(config)?;
        let key_value: Arc<dyn KeyValue> = Arc::new(StoreKeyValue(store.clone()));
        let clients = PortalClients::open(config, &config.sources, &key_value).await?;
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
            until: *until,
            telemetry: telemetry.clone(),
            host: Arc::clone(host),
        })
    }
}

/// Refuses a proxy variable of the environment that names no usable proxy. That is a mistake in the configuration,
/// which no portal can cause.
fn refuse_unusable_proxies(config: &Config) -> Result<(), RelayError> {
    for source in &config.sources {
        let usable = proxy_to(source.portal(), &source.connection.via());
        usable.map_err(|reason| RelayError::Setup(format!("sources.{}: {reason}", source.name)))?;
    }
    Ok(())
}
