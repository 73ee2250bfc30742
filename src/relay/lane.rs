//! One sink's way through one source's events: attempt, settle, commit.
//!
//! Keeps I1 (the checkpoint moves only over what the sink holds or its filter left out), G2 (a commit
//! at least every 64 events or 100 ms) and I7 (a stop is looked at between attempts, never in one).

use std::iter::Peekable;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, trace, warn};

use super::opening::Common;
use super::{RelayError, Until};
use crate::config::SinkConfig;
use crate::event::{Batch, Event, Offset};
use crate::retry::{Backoff, whole_millis};
use crate::shutdown::{Signals, Wake};
use crate::sink::{DeliverError, Sink};
use crate::store::{Progress, Store, StoreError};

/// After so many settled events a commit is due (G2).
const COMMIT_EVENTS: u64 = 64;

/// After so long a commit is due (G2).
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// How a held lane probes: a person is on the way, and need not find a flood of attempts.
const PROBE_MIN: Duration = Duration::from_secs(60);
const PROBE_MAX: Duration = Duration::from_secs(300);

/// How many failures in a row end a drain: whoever asked for it wants an answer. A held sink ends it at
/// once, as its probes are minutes apart.
const DRAIN_ATTEMPTS_MAX: u32 = 5;

/// Whether a lane came to the end of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It did, and that is committed.
    All,
    /// A stop, or the end of a drain's patience, left some of it for another time.
    CutShort,
}

/// See the top of this file.
pub struct Lane {
    source: String,
    sink_name: String,
    sink: Arc<dyn Sink>,
    events: Option<Vec<String>>,
    until: Until,
    store: Store,
    signals: Signals,
    /// What is settled, and how much of that since the last commit.
    progress: Progress,
    committed: Offset,
    committed_at: Instant,
    retry: Backoff,
    probe: Backoff,
    failures: u32,
    trouble: String,
}

impl Lane {
    pub fn new(
        source: &str,
        config: &SinkConfig,
        sink: Arc<dyn Sink>,
        checkpoint: Offset,
        common: &Common,
    ) -> Self {
        Self {
            source: source.to_owned(),
            sink_name: config.name.clone(),
            sink,
            events: config.events.clone(),
            until: common.until,
            store: common.store.clone(),
            signals: common.signals.clone(),
            progress: Progress { offset: checkpoint, delivered: 0, filtered: 0, confirmed: Offset::START },
            committed: checkpoint,
            committed_at: Instant::now(),
            retry: Backoff::jittered(config.retry.min, config.retry.max),
            probe: Backoff::steady(PROBE_MIN.min(config.retry.max), PROBE_MAX.min(config.retry.max)),
            failures: 0,
            trouble: String::new(),
        }
    }

    /// The checkpoint on disk.
    pub fn committed(&self) -> Offset {
        self.committed
    }

    /// Delivers what the sink takes of `batch` and has not settled yet, and commits. All below `confirmed`
    /// is what the portal forgot when it sent the batch.
    ///
    /// # Errors
    /// Only what ends the process; a failing sink is tried again until it takes the events.
    pub async fn settle(&mut self, batch: &Batch, confirmed: Offset) -> Result<Settled, RelayError> {
        self.progress.confirmed = confirmed;
        let fresh = batch.events.iter().filter(|event| self.progress.offset.wants(event.id));
        let (wanted, filtered): (Vec<&Event>, Vec<&Event>) = fresh.partition(|event| self.takes(event));
        let mut filtered = filtered.into_iter().peekable();
        for events in wanted.chunks(self.sink.attempt_max()) {
            if self.deliver(events).await? == Settled::CutShort {
                self.commit().await?;
                return Ok(Settled::CutShort);
            }
            self.pass(&mut filtered);
            if self.progress.delivered >= COMMIT_EVENTS && self.commit().await? == Settled::CutShort {
                return Ok(Settled::CutShort);
            }
        }
        self.progress.offset = batch.next().unwrap_or(self.progress.offset).max(self.progress.offset);
        self.pass(&mut filtered);
        debug!(
            source = self.source,
            sink = self.sink_name,
            events = wanted.len(),
            offset = self.progress.offset.get(),
            "batch settled"
        );
        self.commit().await
    }

    /// Counts the filtered events that the checkpoint has passed, so that each is counted once, in the
    /// very commit that passes it.
    fn pass<'a>(&mut self, filtered: &mut Peekable<impl Iterator<Item = &'a Event>>) {
        while filtered.next_if(|event| !self.progress.offset.wants(event.id)).is_some() {
            self.progress.filtered += 1;
        }
    }

    fn takes(&self, event: &Event) -> bool {
        self.events
            .as_ref()
            .is_none_or(|kinds| kinds.iter().any(|kind| kind.eq_ignore_ascii_case(&event.kind)))
    }

    /// Attempts until the sink holds `events`, or somebody stops us while we wait.
    async fn deliver(&mut self, events: &[&Event]) -> Result<Settled, RelayError> {
        loop {
            // Counted before the attempt: a nudge that comes while it fails must not be missed.
            let nudges_seen = self.signals.nudge_count();
            match self.attempt(events).await? {
                Ok(()) => {
                    self.advance(events).await;
                    return Ok(Settled::All);
                }
                Err(DeliverError::Closed { reason }) => {
                    return Err(RelayError::SinkClosed { sink: self.sink_name.clone(), reason });
                }
                Err(failure) => {
                    if self.wait_after(failure, nudges_seen).await? == Settled::CutShort {
                        return Ok(Settled::CutShort);
                    }
                }
            }
        }
    }

    /// One attempt. What was settled before it is committed in time even when the attempt is slow.
    async fn attempt(&mut self, events: &[&Event]) -> Result<Result<(), DeliverError>, RelayError> {
        let sink = Arc::clone(&self.sink);
        let mut attempt = pin!(sink.deliver(events));
        if self.committed < self.progress.offset {
            tokio::select! {
                biased;
                outcome = &mut attempt => return Ok(outcome),
                () = sleep_until(self.committed_at + COMMIT_INTERVAL) => {}
            }
            let (outcome, committed) = tokio::join!(attempt, self.commit());
            committed?;
            return Ok(outcome);
        }
        Ok(attempt.await)
    }

    async fn advance(&mut self, events: &[&Event]) {
        if self.committed == self.progress.offset {
            // The clock of the commit interval starts with the first settled event.
            self.committed_at = Instant::now();
        }
        for event in events {
            trace!(source = self.source, sink = self.sink_name, event_id = event.id.get(), "delivered");
            self.progress.offset = event.id.next();
            self.progress.delivered += 1;
        }
        if self.failures > 0 {
            info!(
                source = self.source,
                sink = self.sink_name,
                failures = self.failures,
                "sink takes events again"
            );
            self.failures = 0;
            self.retry.reset();
            self.probe.reset();
            self.note(String::new()).await;
        }
    }

    /// Says what went wrong, puts on disk what went right, and waits.
    async fn wait_after(&mut self, failure: DeliverError, nudges_seen: u64) -> Result<Settled, RelayError> {
        self.failures += 1;
        let delay = match &failure {
            DeliverError::Transient { wait, .. } => self.retry.next_delay().max(wait.unwrap_or_default()),
            DeliverError::Held { .. } | DeliverError::Closed { .. } => self.probe.next_delay(),
        };
        let (attempt, delay_ms, offset) = (self.failures, whole_millis(delay), self.progress.offset.get());
        let (source, sink) = (&self.source, &self.sink_name);
        let needs_person = matches!(failure, DeliverError::Held { .. });
        if needs_person {
            error!(source, sink, offset, attempt, delay_ms, error = %failure, "sink is held: nothing is lost, a person must act");
        } else if attempt.is_power_of_two() || self.trouble != failure.to_string() {
            // The first of its kind, then ever more rarely: `attempt` counts what is left out.
            warn!(source, sink, offset, attempt, delay_ms, error = %failure, "attempt failed, will try again");
        }
        self.note(failure.to_string()).await;
        let ends_drain =
            self.is_out_of_patience(self.failures) || (needs_person && self.until == Until::Drained);
        if self.commit().await? == Settled::CutShort || ends_drain {
            return Ok(Settled::CutShort);
        }
        Ok(self.pause(delay, nudges_seen).await)
    }

    /// Puts the progress on disk (I3). A disk that does not take it is waited for: without a commit
    /// nothing may be confirmed, and what was delivered must not be delivered again.
    async fn commit(&mut self) -> Result<Settled, RelayError> {
        let mut backoff = Backoff::jittered(Duration::from_secs(1), Duration::from_secs(60));
        let mut failures = 0;
        while self.committed < self.progress.offset {
            let nudges_seen = self.signals.nudge_count();
            let Err(failure) = self.store.commit(&self.source, &self.sink_name, self.progress).await else {
                self.committed = self.progress.offset;
                self.committed_at = Instant::now();
                self.progress = Progress { delivered: 0, filtered: 0, ..self.progress };
                continue;
            };
            let StoreError::Unavailable { .. } = failure else { return Err(failure.into()) };
            failures += 1;
            let (source, sink, delay) = (&self.source, &self.sink_name, backoff.next_delay());
            error!(source, sink, attempt = failures, delay_ms = whole_millis(delay), error = %failure, "cannot commit, will try again");
            if self.is_out_of_patience(failures) || self.pause(delay, nudges_seen).await == Settled::CutShort
            {
                return Ok(Settled::CutShort);
            }
        }
        Ok(Settled::All)
    }

    /// A drain does not wait for ever.
    fn is_out_of_patience(&self, failures: u32) -> bool {
        self.until == Until::Drained && failures >= DRAIN_ATTEMPTS_MAX
    }

    async fn pause(&self, delay: Duration, nudges_seen: u64) -> Settled {
        match self.signals.pause(delay, nudges_seen).await {
            Wake::Elapsed | Wake::Nudged => Settled::All,
            Wake::Stopping => Settled::CutShort,
        }
    }

    /// Leaves a word for `status`. Only a word: when the disk does not take it, the log has it too.
    async fn note(&mut self, trouble: String) {
        if self.trouble == trouble {
            return;
        }
        self.trouble = trouble;
        if let Err(failure) = self.store.note_lane(&self.source, &self.sink_name, &self.trouble).await {
            debug!(source = self.source, sink = self.sink_name, error = %failure, "cannot note the lane's trouble");
        }
    }
}
