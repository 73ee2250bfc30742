//! The door for the simulation of the engine (`tests/simulation`), and for nothing else: one life of the
//! daemon, as [`crate::relay::run_reloading`] lives it, but in surroundings that follow a script.
//!
//! What else follows a script: the state file ([`Store::simulated`]), this machine's clock
//! ([`simulate_clock`]), work that blocks ([`simulate_blocking`]), and the dice of the delays, for whoever
//! seeds the thread's `fastrand`.

use std::sync::Arc;

use crate::config::Config;
use crate::relay::outcome::Ending;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Until;
use crate::relay::supervisor::tasks::Hangup;
use crate::service::Witness;
use crate::shutdown::Signals;
use crate::store::Store;

pub use crate::blocking::simulate as simulate_blocking;
pub use crate::relay::host::Surroundings;
pub use crate::wall_clock::simulate as simulate_clock;

/// One run of the engine.
pub struct Life {
    /// What is in force at its beginning.
    pub config: Config,
    /// Where it takes place.
    pub surroundings: Arc<dyn Surroundings>,
    /// What outlives it.
    pub store: Store,
    /// What is asked of it; a nudge is the word to reload, unless it is a drain.
    pub signals: Signals,
    /// When it is over.
    pub until: Until,
    /// What it tells.
    pub witness: Witness,
}

impl Life {
    /// Lives it: whoever drops the future has made a crash, once the runtime has let go of its tasks.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub async fn run(&self) -> Result<Ending, RelayError> {
        let Self { config, surroundings, store, signals, until, witness } = self;
        let hangup = match until {
            Until::Stopped => Hangup::Reloads,
            Until::Drained => Hangup::Nudges,
        };
        let common =
            crate::relay::common(config, store, signals, *until, witness, Arc::clone(surroundings)).await?;
        crate::relay::run_through(config, common, hangup).await
    }
}
