//! The entry point for the simulation of the engine (`tests/simulation`), and for nothing else. It runs the daemon
//! once, like [`crate::relay::run_reloading`], but in a host that follows a script.
//!
//! The state file ([`Store::simulated`]), this machine's clock ([`simulate_clock`]) and blocking work
//! ([`simulate_blocking`]) follow a script too, and so do the random delays if the caller seeds the thread's
//! `fastrand`.

use std::sync::Arc;

use crate::config::Config;
use crate::relay::outcome::Ending;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Until;
use crate::relay::supervisor::tasks::Hangup;
use crate::service::Telemetry;
use crate::shutdown::Signals;
use crate::store::Store;

pub use crate::blocking::simulate as simulate_blocking;
pub use crate::relay::host::Host;
pub use crate::wall_clock::simulate as simulate_clock;

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
    pub async fn run(&self) -> Result<Ending, RelayError> {
        let Self { config, host, store, signals, until, telemetry } = self;
        let hangup = match until {
            Until::Stopped => Hangup::Reloads,
            Until::Drained => Hangup::Nudges,
        };
        let context =
            crate::relay::context(config, store, signals, *until, telemetry, Arc::clone(host)).await?;
        crate::relay::run_through(config, context, hangup).await
    }
}
