//! What all sources and lanes of a run share.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Config, DeliveryConfig, SourceConfig};
use crate::relay::host::Surroundings;
use crate::relay::lane::dead_letter_log::DeadLetterLog;
use crate::relay::outcome::Until;
use crate::relay::portal_clients::Callers;
use crate::relay::state_retry::Disk;
use crate::service::Witness;
use crate::shutdown::Signals;
use crate::store::Store;

/// Less than this is a handful of events, and more makes nothing faster.
const MEMORY_MIN: usize = 16 * 1024;
const MEMORY_MAX: usize = 4 * 1024 * 1024;

/// Which source reads which queue: two readers of one would take each other's events.
#[derive(Clone, Default)]
pub struct Claims(pub Arc<Mutex<HashMap<String, String>>>);

impl Claims {
    /// The sources called `names` read nothing any more.
    pub fn release(&self, names: &BTreeSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, holder| !names.contains(holder));
    }
}

/// What each source and each lane may take of what there is for all of them.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Bytes of a source in the journal.
    pub journal: u64,
    /// Bytes of events in memory, for a lane and for the head of a source's journal.
    pub memory: usize,
}

impl Shares {
    /// Those of the sources and lanes of `config`.
    pub fn of(config: &Config) -> Self {
        let lanes = |source: &SourceConfig| {
            config.sinks.iter().filter(|sink| sink.takes_source(&source.name)).count()
        };
        // A lane holds its share, and reads as much again.
        let holders: usize = config.sources.iter().map(|source| 2 * lanes(source) + 1).sum();
        let whole = usize::try_from(config.delivery.memory_max).unwrap_or(usize::MAX);
        let memory = (whole / holders.max(1)).clamp(MEMORY_MIN, MEMORY_MAX);
        let sources = config.sources.len().max(1) as u64;
        Self { journal: (config.delivery.journal.max_size / sources).max(1), memory }
    }
}

/// What all sources of a run have in common.
#[derive(Clone)]
pub struct Common {
    pub callers: Arc<Callers>,
    pub claims: Claims,
    pub dead_letter_log: DeadLetterLog,
    pub delivery: DeliveryConfig,
    pub shares: Shares,
    pub store: Store,
    pub signals: Signals,
    /// What stops a source's lanes before the source itself: it is polled on while they come to their end.
    pub lane_signals: Signals,
    pub until: Until,
    pub witness: Witness,
    pub surroundings: Arc<dyn Surroundings>,
}

impl Common {
    /// The way to the state file.
    pub fn disk(&self) -> Disk {
        Disk::new(&self.store, &self.signals, self.until)
    }
}
