//! Which sources and sinks are in force. The state file remembers others, which are nobody's trouble any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::store::Report;

/// See the top of this file. Clones share everything.
#[derive(Clone, Default)]
pub struct Roster(Arc<Mutex<Option<Lanes>>>);

/// The sinks of each source.
type Lanes = BTreeMap<String, BTreeSet<String>>;

impl Roster {
    /// What `config` has is in force.
    pub fn enter(&self, config: &Config) {
        let sinks_of = |source: &str| {
            let takers = config.sinks.iter().filter(|sink| sink.takes_source(source));
            takers.map(|sink| sink.name.clone()).collect()
        };
        let lanes = config.sources.iter().map(|source| (source.name.clone(), sinks_of(&source.name)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(lanes.collect());
    }

    /// What of `report` is in force.
    pub fn sift(&self, mut report: Report) -> Report {
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
