//! Re-delivers dead letters one at a time. Each is removed before the next is sent.
//!
//! Keeps I1: a letter is removed only after its sink has the event. After a kill, at most the letter in flight is sent
//! again. A replay holds the lock on removing letters, so no other process sends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::config::{RetryConfig, SinkConfig};
use crate::event::Event;
use crate::failpoint;
use crate::log_code;
use crate::relay::outcome::Until;
use crate::relay::outcome::{Halt, RelayError};
use crate::relay::state_retry::Disk;
use crate::retry::{Backoff, whole_millis};
use crate::shutdown::{Signals, Wake};
use crate::sink::{self, DeliverError, Sink};
use crate::store::{DeadLetter, DeadLetterBody, DeadLettersLock, Rejection, Store};

/// How often a letter is tried while its sink fails with a transient error. The limit is low because the operator is
/// waiting.
const ATTEMPTS_MAX: u32 = 5;

/// The longest pause between two attempts, and the longest pause that a sink may ask for.
const DELAY_MAX: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The result for one letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replayed {
    /// The sink has the event, and the letter is removed.
    Delivered,
    /// The sink rejects the event again, for this reason. The letter stays.
    Rejected(String),
    /// The sink failed, for this reason. The letter stays, and so do all others of this sink.
    Failed(String),
    /// The letter stays, because its sink has failed before.
    Left,
    /// The letter no longer existed.
    Gone,
}

/// A sink, and whether it has failed. After a failure nothing more is sent to it.
struct Taker {
    sink: Arc<dyn Sink>,
    retry: RetryConfig,
    has_failed: bool,
}

/// The result of the attempts at one letter.
enum Outcome {
    Delivered,
    Rejected(Rejection),
    Failed(String),
}

/// Re-delivers dead letters to their sinks.
pub struct Replay {
    store: Store,
    signals: Signals,
    disk: Disk,
    takers: HashMap<String, Taker>,
    _lock: DeadLettersLock,
}

impl Replay {
    /// Creates a replay through the sinks of `configs`. The `lock` is held for as long as the replay lives.
    ///
    /// # Errors
    /// [`RelayError::Setup`] when a sink cannot be set up.
    pub fn try_new<'a>(
        configs: impl IntoIterator<Item = &'a SinkConfig>,
        store: Store,
        lock: DeadLettersLock,
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

    /// Sends the event of `letter` again. Returns `None` when a stop was requested first.
    pub async fn send(&mut self, letter: &DeadLetter) -> Result<Option<Replayed>, RelayError> {
        if self.signals.stop.is_cancelled() {
            return Ok(None);
        }
        let Some(taker) = self.takers.get(&letter.sink) else {
            return Ok(Some(Replayed::Failed("is not configured".to_owned())));
        };
        if taker.has_failed {
            return Ok(Some(Replayed::Left));
        }
        let Some(DeadLetterBody { letter, event, .. }) = self.store.letter(letter.number).await? else {
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
            // Count before the attempt: a nudge that comes while it fails must not be missed.
            let nudges_seen = self.signals.nudge_count();
            let (reason, wait) = match self.deliver(taker, event).await {
                // The sink has the event. If it also asks for a pause, its lane will learn that with its next event.
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
                code = %log_code::ATTEMPT_FAILED,
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

    /// Lets the sink deliver the event. A stop that comes during the attempt is logged, and waits for its end. The sink
    /// was not resumed, so it also delivers events that it has already: that is the purpose of a replay. Its mark is
    /// for the lane alone.
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

    /// Makes the result for a letter durable. Nothing else is sent before that.
    async fn conclude(&self, letter: &DeadLetter, outcome: Outcome) -> Result<Replayed, RelayError> {
        match outcome {
            Outcome::Delivered => {
                debug!(sink = letter.sink, event_id = letter.event_id, "delivered, no dead letter any more");
                let removed = self.disk.persist("dead letter", || self.store.remove(letter)).await;
                Ok(Halt::unless_stopped(removed)?
                    .map_or_else(|| Replayed::Failed(NOT_REMOVED.to_owned()), |()| Replayed::Delivered))
            }
            Outcome::Rejected(rejection) => {
                let reason = rejection.reason.clone();
                let noted = self
                    .disk
                    .persist("dead letter", || self.store.rebury(letter.number, rejection.clone()))
                    .await;
                if Halt::unless_stopped(noted)?.is_none() {
                    debug!(number = letter.number, "the new reason could not be noted");
                }
                Ok(Replayed::Rejected(reason))
            }
            Outcome::Failed(reason) => Ok(Replayed::Failed(reason)),
        }
    }
}

/// Tells the operator that another replay would send the event twice.
const NOT_REMOVED: &str = "has taken the event, but the state file did not let its dead letter go: make room on the disk, \
                           then `b24relay dead-letters discard` it";
