//! The door for the simulation of the engine (`tests/simulation`), and for nothing else: one life of one
//! source, as [`super::run`] lives it, but with a portal and sinks that follow a script.
//!
//! What else follows a script: the state file ([`Store::simulated`]), this machine's clock
//! ([`simulate_clock`]), and the dice of the delays, for whoever seeds the thread's `fastrand`.

use std::sync::Arc;

use super::census::Census;
use super::gate::Gate;
use super::opening::{Claims, Common};
use super::{Callers, RelayError, Until, adopt};
use crate::config::{DeliveryConfig, SinkConfig, SourceConfig};
use crate::portal::Upstream;
use crate::service::Witness;
use crate::shutdown::Signals;
use crate::sink::Sink;
use crate::store::Store;

pub use super::assembly::Opened;
pub use crate::wall_clock::simulate as simulate_clock;

/// The user whose queue it is.
pub const OWNER: u64 = 1;

/// One run of the engine with one source.
pub struct Life {
    /// The source; its credential is not looked at.
    pub source: SourceConfig,
    /// Where its events go.
    pub sinks: Vec<(SinkConfig, Arc<dyn Sink>)>,
    /// How they get there.
    pub delivery: DeliveryConfig,
    /// What outlives it.
    pub store: Store,
    /// What is asked of it.
    pub signals: Signals,
    /// When it is over.
    pub until: Until,
}

impl Life {
    /// The source that reads `upstream`, ready to run: whoever drops it, or the future of its run, has made
    /// a crash.
    ///
    /// # Errors
    /// See [`RelayError`].
    pub async fn open(&self, upstream: Box<dyn Upstream>) -> Result<Opened, RelayError> {
        let queue = Arc::clone(upstream.queue());
        let (_, adopted) = adopt(&self.store, &queue.source, &queue.identity).await?;
        let common = Common {
            callers: Arc::new(Callers::default()),
            claims: Claims::default(),
            census: Census::new(1),
            delivery: self.delivery,
            store: self.store.clone(),
            signals: self.signals.clone(),
            until: self.until,
            witness: Witness::default(),
        };
        let gates = self.sinks.iter().map(|(config, sink)| {
            (config.clone(), Gate::new(Arc::clone(sink), config, &common.witness.figures))
        });
        let gates: Vec<_> = gates.collect();
        super::assembly::assemble(upstream, Some(OWNER), adopted, &self.source, &gates, &common).await
    }
}
