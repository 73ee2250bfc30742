//! Events that cannot be read. Events before them are read. Events after them wait until the portal shows the
//! unreadable ones whole, or until the operator has skipped them.
//!
//! Keeps I2 for them: the batch is cut before the first one, so the offset stays at or below it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{debug, warn};

use crate::event::{Batch, OddEvents, Offset};
use crate::log_code;
use crate::relay::outcome::RelayError;
use crate::store::{Skip, Store, StoreError};

pub(crate) struct OddGuard {
    source: Arc<str>,
    store: Store,
    /// The gaps of the skips that were passed and reported.
    told: BTreeSet<u64>,
}

/// The result of cutting a batch.
#[derive(Default)]
pub(crate) struct Cut {
    /// The odd events before which the batch was cut, if any.
    pub at: Option<OddEvents>,
    /// The gaps that it passes for the first time, ascending.
    pub gaps: Vec<u64>,
    /// How many skips were known.
    pub skips: usize,
}

impl OddGuard {
    pub(crate) fn new(source: &Arc<str>, store: &Store) -> Self {
        Self { source: Arc::clone(source), store: store.clone(), told: BTreeSet::new() }
    }

    /// Cuts `batch`, the answer to a poll from `offset`, before the first odd event that the operator has not skipped.
    pub(crate) async fn cut(&mut self, batch: &mut Batch, offset: Offset) -> Result<Cut, RelayError> {
        if batch.odd.is_empty() {
            return Ok(Cut::default());
        }
        let skips = self.skips().await?;
        let mut cut = Cut { skips: skips.len(), ..Cut::default() };
        for odd in std::mem::take(&mut batch.odd) {
            let Some(skip) = skips.iter().find(|skip| skip.covers(&odd)) else {
                batch.cut_before(&odd, offset);
                cut.at = Some(odd);
                break;
            };
            if self.told.insert(skip.gap) {
                let (source, gap, skipped) = (&self.source, skip.gap, skip.told());
                warn!(code = %log_code::EVENTS_SKIPPED, %source, gap, skipped, "skipping events that cannot be read, as `b24relay offset skip` ordered");
                cut.gaps.push(skip.gap);
            }
        }
        cut.gaps.sort_unstable();
        Ok(cut)
    }

    /// The skips on record. If the disk cannot be read, there are none, and nothing is skipped.
    async fn skips(&self) -> Result<Vec<Skip>, RelayError> {
        match self.store.skips(&self.source).await {
            Ok(skips) => Ok(skips),
            Err(failure @ StoreError::Unavailable { .. }) => {
                debug!(source = %self.source, error = %failure, "cannot look for skipped events");
                Ok(Vec::new())
            }
            Err(failure) => Err(failure.into()),
        }
    }
}
