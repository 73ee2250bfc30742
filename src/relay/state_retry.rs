//! Retries writes to the state file. Nothing continues before the disk has accepted them.

use std::time::Duration;

use tracing::{error, info};

use crate::log_code;
use crate::relay::outcome::Halt;
use crate::relay::outcome::Until;
use crate::retry::{Backoff, whole_millis};
use crate::shutdown::{Signals, Wake};
use crate::store::{Store, StoreError};

/// How many failures in a row end a drain: the operator is waiting for a result.
const DRAIN_ATTEMPTS_MAX: u32 = 5;

/// Access to the state file for writes that must succeed before anything continues.
#[derive(Clone)]
pub(super) struct Disk {
    store: Store,
    signals: Signals,
    until: Until,
}

impl Disk {
    /// Creates the access to `store`. A stop in `signals` ends the wait for the disk.
    pub(super) fn new(store: &Store, signals: &Signals, until: Until) -> Self {
        Self { store: store.clone(), signals: signals.clone(), until }
    }

    /// Repeats `work` until the disk accepts it.
    ///
    /// # Errors
    /// [`Halt::Stopped`] when a stop came first, or when a drain has used up its attempts. [`Halt::Fatal`] for errors that
    /// waiting cannot fix: all but [`StoreError::Unavailable`].
    pub(super) async fn persist<T, F: Future<Output = Result<T, StoreError>> + Send>(
        &self,
        what: &str,
        mut work: impl FnMut() -> F + Send,
    ) -> Result<T, Halt> {
        let mut backoff = Backoff::jittered(Duration::from_secs(1), Duration::from_secs(60));
        let (mut attempt, mut wait) = (0, None);
        loop {
            let nudges_seen = self.signals.nudge_count();
            let failure = match work().await {
                Ok(outcome) => {
                    drop(wait);
                    if attempt > 0 {
                        info!(what, attempts = attempt, "the state can be written again");
                    }
                    return Ok(outcome);
                }
                Err(failure @ StoreError::Unavailable { .. }) => failure,
                Err(failure) => return Err(failure.into()),
            };
            attempt += 1;
            let delay = backoff.next_delay();
            error!(code = %log_code::STATE_NOT_WRITTEN, what, attempt, delay_ms = whole_millis(delay), error = %failure, "cannot write the state, will try again");
            wait = Some(self.store.wait(&failure));
            let is_out_of_patience = self.until == Until::Drained && attempt >= DRAIN_ATTEMPTS_MAX;
            if is_out_of_patience || self.signals.pause(delay, nudges_seen).await == Wake::Stopping {
                return Err(Halt::Stopped);
            }
        }
    }
}
