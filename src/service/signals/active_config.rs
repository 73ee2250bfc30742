//! The sources and sinks that are configured now. The state file still has others, whose problems do not matter any
//! more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::store::Report;

/// The sources and sinks that are configured now. Clones share them.
#[derive(Clone, Default)]
pub struct ActiveConfig(Arc<Mutex<Option<Lanes>>>);

/// The sinks of each source.
type Lanes = BTreeMap<String, BTreeSet<String>>;

impl ActiveConfig {
    /// Takes the sources and sinks of `config`.
    pub fn enter(&self, config: &Config) {
        let sinks_of = |source: &str| {
            let takers = config.sinks.iter().filter(|sink| sink.takes_source(source));
            takers.map(|sink| sink.name.clone()).collect()
        };
        let lanes = config.sources.iter().map(|source| (source.name.clone(), sinks_of(&source.name)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(lanes.collect());
    }

    /// The names of the sinks.
    pub(crate) fn sinks(&self) -> BTreeSet<String> {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().flat_map(BTreeMap::values).flatten().cloned().collect()
    }

    /// Returns the configured part of `report`.
    pub fn retain_configured(&self, mut report: Report) -> Report {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lanes) = lanes.as_ref() {
            report.sources.retain(|source| lanes.contains_key(&source.name));
            report
                .lanes
                .retain(|lane| lanes.get(&lane.source).is_some_and(|sinks| sinks.contains(&lane.sink)));
        }
        report
    }
}
