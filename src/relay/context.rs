//! State that all sources and lanes of a run share.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Config, DeliveryConfig, SourceConfig};
use crate::relay::host::Host;
use crate::relay::lane::dead_letter_log::DeadLetterLog;
use crate::relay::outcome::Until;
use crate::relay::portal_clients::PortalClients;
use crate::relay::state_retry::Disk;
use crate::service::Telemetry;
use crate::shutdown::Signals;
use crate::store::Store;

/// Above this share of a limit on disk space the log warns.
pub(super) const WARNING_PERCENT: u64 = 80;

/// The limits of a share of memory. Less than the minimum holds only a handful of events; more than the maximum makes
/// nothing faster.
const MEMORY_MIN: usize = 16 * 1024;
const MEMORY_MAX: usize = 4 * 1024 * 1024;

/// Which source reads which queue. Two readers of one queue would take each other's events.
#[derive(Clone, Default)]
pub(super) struct QueueOwners(pub Arc<Mutex<HashMap<String, String>>>);

impl QueueOwners {
    /// Releases the queues of the sources called `names`, which no longer read them.
    pub(super) fn release(&self, names: &BTreeSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, holder| !names.contains(holder));
    }
}

/// How much of the common limits each source and each lane may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// How many bytes one source may have in the journal.
    pub journal: u64,
    /// How many bytes of events may be in memory, for one lane or for the head of one source's journal.
    pub memory: usize,
}

impl Shares {
    /// The shares of the sources and lanes of `config`.
    pub(super) fn of(config: &Config) -> Self {
        let lanes = |source: &SourceConfig| {
            config.sinks.iter().filter(|sink| sink.takes_source(&source.name)).count()
        };
        // A lane holds one share of events, and reads up to one more.
        let holders: usize = config.sources.iter().map(|source| 2 * lanes(source) + 1).sum();
        let whole = usize::try_from(config.delivery.memory_max).unwrap_or(usize::MAX);
        let memory = (whole / holders.max(1)).clamp(MEMORY_MIN, MEMORY_MAX);
        let sources = config.sources.len().max(1) as u64;
        Self { journal: (config.delivery.journal.max_size / sources).max(1), memory }
    }
}

/// The context that all sources of a run have in common.
#[derive(Clone)]
pub(super) struct EngineContext {
    pub clients: Arc<PortalClients>,
    pub owners: QueueOwners,
    pub dead_letter_log: DeadLetterLog,
    pub delivery: DeliveryConfig,
    pub shares: Shares,
    pub store: Store,
    pub signals: Signals,
    /// Stops a source's lanes before the source itself, which is polled until they have ended.
    pub lane_signals: Signals,
    pub until: Until,
    pub telemetry: Telemetry,
    pub host: Arc<dyn Host>,
}

impl EngineContext {
    /// Access to the state file that retries until the disk accepts a write.
    pub(super) fn disk(&self) -> Disk {
        Disk::new(&self.store, &self.signals, self.until)
    }
}
