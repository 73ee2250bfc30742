//! Dead letters delivered again: one at a time, each taken out before the next is sent.
//!
//! Keeps I1: a letter is taken out only after its sink holds the event. A kill leaves at most the one in
//! flight to be sent again. Whoever replays holds the right to take letters out, so nobody else sends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::config::{RetryConfig, SinkConfig};
use crate::event::Event;
use crate::failpoint;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Until;
use crate::relay::state_retry::Disk;
use crate::retry::{Backoff, whole_millis};
use crate::shutdown::{Signals, Wake};
use crate::sink::{self, DeliverError, Sink};
use crate::store::{Letter, LettersLock, OpenLetter, Rejection, Store};

/// How often a letter is tried when its sink fails in a way that may pass: a person waits.
const ATTEMPTS_MAX: u32 = 5;

/// The longest pause between two attempts, and the longest that a sink may ask for.
const DELAY_MAX: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What became of one letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replayed {
    /// Its sink has the event, and it is taken out.
    Delivered,
    /// Its sink rejects the event again, for this reason: it stays.
    Rejected(String),
    /// Its sink failed, for this reason: it stays, and so do all others of the sink.
    Failed(String),
    /// It stays, as its sink has failed before.
    Left,
    /// It was not there any more.
    Gone,
}

/// A sink, and why nothing more is sent to it, if so.
struct Taker {
    sink: Arc<dyn Sink>,
    retry: RetryConfig,
    has_failed: bool,
}

/// What an attempt at one letter came to.
enum Outcome {
    Delivered,
    Rejected(Rejection),
    Failed(String),
}

/// See the top of this file.
pub struct Replay {
    store: Store,
    signals: Signals,
    disk: Disk,
    takers: HashMap<String, Taker>,
    _lock: LettersLock,
}

impl Replay {
    /// A replay through the sinks of `configs`, by whoever holds `lock`.
    ///
    /// # Errors
    /// [`RelayError::Setup`] when a sink cannot be set up.
    pub fn try_new<'a>(
        configs: impl IntoIterator<Item = &'a SinkConfig>,
        store: Store,
        lock: LettersLock,
        signals: &Signals,
    ) -> Result<Self, RelayError> {
        let mut takers = HashMap::new();
        for config in configs {
            let sink = sink::build(config, signals)
                .map_err(|reason| RelayError::Setup(format!("sinks.{}: {reason}", config.name)))?;
            takers.insert(config.name.clone(), Taker { sink, retry: config.retry, has_failed: false });
        }
        let disk = Disk::new(&store, signals, Until::Drained);
        Ok(Self { store, signals: signals.clone(), disk, takers, _lock: lock })
    }

    /// Sends the event of `letter` again; `None` when a stop was asked for first.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn send(&mut self, letter: &Letter) -> Result<Option<Replayed>, RelayError> {
        if self.signals.stop.is_cancelled() {
            return Ok(None);
        }
        let Some(taker) = self.takers.get(&letter.sink) else {
            return Ok(Some(Replayed::Failed("is not configured".to_owned())));
        };
        if taker.has_failed {
            return Ok(Some(Replayed::Left));
        }
        let Some(OpenLetter { letter, event, .. }) = self.store.letter(letter.number).await? else {
            return Ok(Some(Replayed::Gone));
        };
        failpoint::reached("replaying");
        let outcome = self.attempt(taker, &letter.sink, &event).await?;
        failpoint::reached("replayed");
        let replayed = self.conclude(&letter, outcome).await?;
        failpoint::reached("exhumed");
        if matches!(replayed, Replayed::Failed(_))
            && let Some(taker) = self.takers.get_mut(&letter.sink)
        {
            taker.has_failed = true;
        }
        Ok(Some(replayed))
    }

    async fn attempt(&self, taker: &Taker, sink: &str, event: &Event) -> Result<Outcome, RelayError> {
        let mut backoff = Backoff::jittered(taker.retry.min.min(DELAY_MAX), taker.retry.max.min(DELAY_MAX));
        let mut attempts = 0;
        loop {
            attempts += 1;
            // Counted before the attempt: a nudge that comes while it fails must not be missed.
            let nudges_seen = self.signals.nudge_count();
            let (reason, wait) = match self.deliver(taker, event).await {
                // It has the event, be it the last. What else it asks for, its lane will hear with the next one.
                Ok(()) | Err(DeliverError::Paused { is_delivered: true, .. }) => {
                    return Ok(Outcome::Delivered);
                }
                Err(DeliverError::Rejected { reason, status, answer, .. }) => {
                    return Ok(Outcome::Rejected(Rejection { reason, status, answer, attempts }));
                }
                Err(DeliverError::Held { reason, .. } | DeliverError::Paused { reason, .. }) => {
                    return Ok(Outcome::Failed(reason));
                }
                Err(DeliverError::Closed { reason }) => {
                    return Err(RelayError::SinkClosed { sink: sink.to_owned(), reason });
                }
                Err(DeliverError::Transient { reason, wait }) => (reason, wait.unwrap_or_default()),
            };
            let delay = backoff.next_delay().max(wait);
            if attempts == ATTEMPTS_MAX || wait > WAIT_MAX {
                return Ok(Outcome::Failed(reason));
            }
            let (event_id, delay_ms) = (event.id.get(), whole_millis(delay));
            warn!(
                sink,
                event_id,
                attempt = attempts,
                delay_ms,
                error = reason,
                "attempt failed, will try again"
            );
            if self.signals.pause(delay, nudges_seen).await == Wake::Stopping {
                return Ok(Outcome::Failed(reason));
            }
        }
    }

    /// Lets the sink try. A stop that comes meanwhile is answered, and waits. The sink was not resumed, so it delivers
    /// what it has already as well: that is what was asked for. Its mark is for the lane alone.
    async fn deliver(&self, taker: &Taker, event: &Event) -> Result<(), DeliverError> {
        let events = [event];
        let mut attempt = taker.sink.deliver(&events);
        tokio::select! {
            biased;
            outcome = &mut attempt => outcome,
            () = self.signals.stop.cancelled() => {
                info!("stopping: finishing what is under way");
                attempt.await
            }
        }
        .map(|_mark| ())
    }

    /// Puts on disk what became of a letter: until that is done, nothing else is sent.
    async fn conclude(&self, letter: &Letter, outcome: Outcome) -> Result<Replayed, RelayError> {
        match outcome {
            Outcome::Delivered => {
                debug!(sink = letter.sink, event_id = letter.event_id, "delivered, no dead letter any more");
                let removed = self.disk.persist("dead letter", || self.store.exhume(letter)).await?;
                Ok(removed.map_or_else(|| Replayed::Failed(NOT_REMOVED.to_owned()), |()| Replayed::Delivered))
            }
            Outcome::Rejected(rejection) => {
                let reason = rejection.reason.clone();
                let noted = self
                    .disk
                    .persist("dead letter", || self.store.rebury(letter.number, rejection.clone()))
                    .await?;
                if noted.is_none() {
                    debug!(number = letter.number, "the new reason could not be noted");
                }
                Ok(Replayed::Rejected(reason))
            }
            Outcome::Failed(reason) => Ok(Replayed::Failed(reason)),
        }
    }
}

/// Whoever reads it must know that another replay sends the event twice.
const NOT_REMOVED: &str = "has taken the event, but the state file did not let its dead letter go: make room on the disk, \
                           then `b24relay dead-letters discard` it";
