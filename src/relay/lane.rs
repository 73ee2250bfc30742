//! One sink's way through one source's events: attempt, settle, commit.
//!
//! Keeps I1 (the checkpoint covers only what the sink holds, what its filter left out, and dead letters
//! that are in the same commit), G2 (a commit at least every 64 events or 100 ms) and I7 (a stop is looked
//! at between attempts, never in one).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, trace, warn};

use super::clock::PortalClock;
use super::disk::persist;
use super::fate::{Appetite, Fate};
use super::graveyard::Graveyard;
use super::opening::Common;
use super::pause::Pause;
use super::tries::Tries;
use super::{RelayError, Until};
use crate::checkpoint::Checkpoint;
use crate::config::SinkConfig;
use crate::event::{Event, EventId, Offset};
use crate::failpoint;
use crate::retry::{Backoff, whole_millis};
use crate::shutdown::{Signals, Wake};
use crate::sink::{DeliverError, Sink};
use crate::store::{Burial, LaneNote, LaneRecord, LaneState, Progress, Store, Tally};
use crate::wall_clock;

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

/// A state that ends sooner is not worth a write.
const NOTED_DELAY_MIN: Duration = Duration::from_secs(1);

/// Whether a lane came to the end of its events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It did, and that is committed.
    All,
    /// A stop, or the end of a drain's patience, left some of it for another time.
    CutShort,
}

/// What one attempt came to.
enum Attempted {
    Delivered,
    /// The sink will never take the first of the events.
    Rejected(Box<Burial>),
    /// It failed, and the time to wait is over.
    Failed,
    CutShort,
}

/// See the top of this file.
pub struct Lane {
    source: String,
    sink_name: String,
    sink: Arc<dyn Sink>,
    appetite: Appetite,
    graveyard: Graveyard,
    pause: Pause,
    clock: PortalClock,
    until: Until,
    store: Store,
    signals: Signals,
    /// What is settled, and what became of it since the last commit.
    progress: Progress,
    is_committed: bool,
    committed: Offset,
    /// It takes only what happens from its beginning on, and that is still to come.
    is_beginning: bool,
    /// When the oldest progress was made that is not committed.
    progressed_at: Instant,
    retry: Backoff,
    probe: Backoff,
    failures: u32,
    tries: Option<Tries>,
    state: LaneState,
    trouble: String,
}

impl Lane {
    /// A lane that goes on where `record` ends; one that has none begins.
    pub fn new(
        source: &str,
        config: &SinkConfig,
        sink: Arc<dyn Sink>,
        record: LaneRecord,
        common: &Common,
        clock: PortalClock,
    ) -> Self {
        let offset = record.checkpoint.offset();
        Self {
            source: source.to_owned(),
            sink_name: config.name.clone(),
            sink,
            appetite: Appetite::new(config),
            graveyard: Graveyard::new(&config.name, common.delivery.dead_letters, &common.store),
            pause: Pause::new(source, &config.name, record.pause, common),
            clock,
            until: common.until,
            store: common.store.clone(),
            signals: common.signals.clone(),
            progress: Progress {
                checkpoint: record.checkpoint,
                tally: Tally::default(),
                burials: Vec::new(),
                confirmed: Offset::START,
                start_ms: record.start_ms,
                gaps: record.gaps,
            },
            is_committed: true,
            committed: offset,
            is_beginning: false,
            progressed_at: Instant::now(),
            retry: Backoff::jittered(config.retry.min, config.retry.max),
            probe: Backoff::steady(PROBE_MIN.min(config.retry.max), PROBE_MAX.min(config.retry.max)),
            failures: 0,
            tries: None,
            state: LaneState::Flowing,
            trouble: String::new(),
        }
    }

    /// The same for a sink that has taken nothing of the source yet: it may want only what is to come.
    #[must_use]
    pub fn beginning(mut self) -> Self {
        self.is_beginning = self.appetite.starts_now();
        self
    }

    /// The sink's name.
    pub fn sink_name(&self) -> &str {
        &self.sink_name
    }

    /// The offset of the checkpoint on disk.
    pub fn committed(&self) -> Offset {
        self.committed
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.progress.checkpoint
    }

    /// How many of the source's gaps the sink knows of.
    pub fn gaps(&self) -> u64 {
        self.progress.gaps
    }

    /// Settles what of `events`, ascending, is not settled yet, and commits. Nothing else will ever appear
    /// below `complete`; all below `confirmed` is what the portal has forgotten.
    ///
    /// # Errors
    /// Only what ends the process; a failing sink is tried again until it takes the events.
    pub async fn settle(
        &mut self,
        events: &[Event],
        complete: Offset,
        confirmed: Offset,
    ) -> Result<Settled, RelayError> {
        self.progress.confirmed = self.progress.confirmed.max(confirmed);
        if self.begins(events) && self.commit().await? == Settled::CutShort {
            return Ok(Settled::CutShort);
        }
        let wanted = self.pass_by(events);
        let mut chunks = wanted.chunks(self.sink.attempt_max()).peekable();
        while let Some(chunk) = chunks.next() {
            if self.deliver(chunk.to_vec()).await? == Settled::CutShort {
                self.commit().await?;
                return Ok(Settled::CutShort);
            }
            let rest = chunks.peek().and_then(|rest| rest.first()).map(|next| next.id.as_offset());
            self.raise(rest.unwrap_or(complete).min(complete));
            if self.unsettled_commits() >= COMMIT_EVENTS && self.commit().await? == Settled::CutShort {
                return Ok(Settled::CutShort);
            }
        }
        self.raise(complete);
        let (source, sink) = (&self.source, &self.sink_name);
        debug!(source, sink, events = events.len(), offset = complete.get(), "batch settled");
        self.commit().await
    }

    /// Tells the sink of something that is not in the queue; `number` is that of the gap it is about.
    ///
    /// # Errors
    /// As [`Lane::settle`].
    pub async fn announce(&mut self, event: &Event, number: u64) -> Result<Settled, RelayError> {
        while number > self.progress.gaps {
            match self.attempt(&[event]).await? {
                // A sink that rejects it does without: the gap is in the log and in `status`.
                Attempted::Delivered | Attempted::Rejected(_) => {
                    self.progress.gaps = number;
                    self.touch();
                }
                Attempted::Failed => {}
                Attempted::CutShort => return Ok(Settled::CutShort),
            }
        }
        self.commit().await
    }

    /// Whether its beginning is now: when the portal has told the time, as that is what events are dated by.
    fn begins(&mut self, events: &[Event]) -> bool {
        let begins = self.is_beginning && (self.clock.is_told() || !events.is_empty());
        if begins {
            self.is_beginning = false;
            self.progress.start_ms = Some(self.clock.now_ms());
            self.touch();
        }
        begins
    }

    /// Settles what nobody needs to be troubled with, and returns the rest.
    fn pass_by<'a>(&mut self, events: &'a [Event]) -> Vec<&'a Event> {
        let mut wanted = Vec::with_capacity(events.len());
        for event in events {
            if self.progress.checkpoint.covers(event.id) {
                continue;
            }
            match self.fate(event) {
                Fate::Wanted => wanted.push(event),
                Fate::Filtered => self.settle_one(event.id, |tally| &mut tally.filtered),
                Fate::Expired => self.settle_one(event.id, |tally| &mut tally.expired),
            }
        }
        wanted
    }

    fn fate(&self, event: &Event) -> Fate {
        self.appetite.fate(event, self.progress.start_ms, &self.clock)
    }

    fn settle_one(&mut self, id: EventId, count: impl FnOnce(&mut Tally) -> &mut u64) {
        self.touch();
        self.progress.checkpoint.settle(id);
        *count(&mut self.progress.tally) += 1;
    }

    fn raise(&mut self, offset: Offset) {
        if offset > self.progress.checkpoint.offset() {
            self.touch();
            self.progress.checkpoint.raise(offset);
        }
    }

    /// There is progress that is not committed; the clock of the commit interval starts with its first.
    fn touch(&mut self) {
        if self.is_committed {
            self.is_committed = false;
            self.progressed_at = Instant::now();
        }
    }

    fn unsettled_commits(&self) -> u64 {
        self.progress.tally.delivered + self.progress.tally.buried
    }

    /// Attempts until `events` are settled, or somebody stops us while we wait.
    async fn deliver(&mut self, mut events: Vec<&Event>) -> Result<Settled, RelayError> {
        loop {
            // They may have grown too old while we waited.
            events.retain(|event| {
                let is_expired = self.fate(event) == Fate::Expired;
                if is_expired {
                    self.settle_one(event.id, |tally| &mut tally.expired);
                }
                !is_expired
            });
            if events.is_empty() {
                return Ok(Settled::All);
            }
            match self.attempt(&events).await? {
                Attempted::Delivered => {
                    for event in &events {
                        let (source, sink) = (&self.source, &self.sink_name);
                        trace!(source, sink, event_id = event.id.get(), "delivered");
                        self.settle_one(event.id, |tally| &mut tally.delivered);
                    }
                    failpoint::reached("settled");
                    return Ok(Settled::All);
                }
                Attempted::Rejected(burial) => {
                    let event = events.remove(0);
                    self.settle_one(event.id, |tally| &mut tally.buried);
                    self.progress.burials.push(*burial);
                    failpoint::reached("buried");
                }
                Attempted::Failed => {}
                Attempted::CutShort => return Ok(Settled::CutShort),
            }
        }
    }

    /// One attempt, and the wait behind it when it failed.
    async fn attempt(&mut self, events: &[&Event]) -> Result<Attempted, RelayError> {
        let Some(first) = events.first() else { return Ok(Attempted::Delivered) };
        if self.pause.is_on() {
            return self.rest().await;
        }
        self.tries = Some(Tries::counted(self.tries.take(), first.id));
        // Counted before the attempt: a nudge that comes while it fails must not be missed.
        let nudges_seen = self.signals.nudge_count();
        failpoint::reached("attempting");
        let failure = match self.try_sink(events).await? {
            Ok(()) => {
                failpoint::reached("answered");
                self.recover().await;
                return Ok(Attempted::Delivered);
            }
            Err(DeliverError::Closed { reason }) => {
                return Err(RelayError::SinkClosed { sink: self.sink_name.clone(), reason });
            }
            Err(DeliverError::Paused { reason, is_delivered }) => {
                // Whoever attempts next finds the pause.
                self.pause.begin(&reason).await?;
                return Ok(if is_delivered { Attempted::Delivered } else { Attempted::Failed });
            }
            Err(failure) => failure,
        };
        let failure = match self.reject(first, failure).await? {
            Ok(burial) => {
                // What was in the way is out of it: the next event has all the patience there is.
                self.forget_failures().await;
                return Ok(Attempted::Rejected(burial));
            }
            Err(failure) => failure,
        };
        Ok(match self.wait_after(failure, nudges_seen).await? {
            Settled::All => Attempted::Failed,
            Settled::CutShort => Attempted::CutShort,
        })
    }

    /// Stands still until a person says otherwise; then everything begins anew.
    async fn rest(&mut self) -> Result<Attempted, RelayError> {
        if self.commit().await? == Settled::CutShort || self.pause.wait().await? == Settled::CutShort {
            return Ok(Attempted::CutShort);
        }
        self.forget_failures().await;
        // What was to be attempted may have grown too old meanwhile.
        Ok(Attempted::Failed)
    }

    /// Lets the sink try. What was settled before is committed in time even when it is slow.
    async fn try_sink(&mut self, events: &[&Event]) -> Result<Result<(), DeliverError>, RelayError> {
        let sink = Arc::clone(&self.sink);
        let mut attempt = pin!(sink.deliver(events));
        if !self.is_committed {
            tokio::select! {
                biased;
                outcome = &mut attempt => return Ok(outcome),
                () = sleep_until(self.progressed_at + COMMIT_INTERVAL) => {}
            }
            let (outcome, committed) = tokio::join!(attempt, self.commit());
            committed?;
            return Ok(outcome);
        }
        let stop = self.signals.stop.clone();
        tokio::select! {
            biased;
            outcome = &mut attempt => return Ok(outcome),
            () = stop.cancelled() => {}
        }
        let (outcome, ()) = tokio::join!(attempt, self.note(LaneState::Draining, None));
        Ok(outcome)
    }

    /// The last rites, when the sink has rejected `event` often enough and there is room for it.
    async fn reject(
        &mut self,
        event: &Event,
        failure: DeliverError,
    ) -> Result<Result<Box<Burial>, DeliverError>, RelayError> {
        let DeliverError::Rejected { reason, status, answer, is_final } = &failure else {
            return Ok(Err(failure));
        };
        let Some(tries) = &mut self.tries else { return Ok(Err(failure)) };
        if !tries.ends_with_rejection(*is_final) {
            return Ok(Err(failure));
        }
        let burial = tries.burial(event, reason, *status, answer);
        Ok(match self.graveyard.refuses(&burial).await {
            Some(reason) => Err(DeliverError::Held { reason, wait: None }),
            None => Ok(Box::new(burial)),
        })
    }

    async fn recover(&mut self) {
        if self.failures > 0 {
            let (source, sink, failures) = (&self.source, &self.sink_name, self.failures);
            info!(source, sink, failures, "sink takes events again");
            self.forget_failures().await;
        }
    }

    async fn forget_failures(&mut self) {
        self.failures = 0;
        self.retry.reset();
        self.probe.reset();
        self.trouble.clear();
        self.note(LaneState::Flowing, None).await;
    }

    /// Says what went wrong, puts on disk what went right, and waits.
    async fn wait_after(&mut self, failure: DeliverError, nudges_seen: u64) -> Result<Settled, RelayError> {
        self.failures += 1;
        let delay = match &failure {
            DeliverError::Transient { wait, .. } => self.retry.next_delay().max(wait.unwrap_or_default()),
            DeliverError::Rejected { .. } => self.retry.next_delay(),
            DeliverError::Held { wait, .. } => self.probe.next_delay().max(wait.unwrap_or_default()),
            DeliverError::Closed { .. } | DeliverError::Paused { .. } => self.probe.next_delay(),
        };
        let (attempt, delay_ms) = (self.failures, whole_millis(delay));
        let (source, sink, offset) = (&self.source, &self.sink_name, self.progress.checkpoint.offset().get());
        let needs_person = matches!(failure, DeliverError::Held { .. });
        if needs_person {
            error!(source, sink, offset, attempt, delay_ms, error = %failure, "sink is held: nothing is lost, a person must act");
        } else if attempt.is_power_of_two() || self.trouble != failure.to_string() {
            // The first of its kind, then ever more rarely: `attempt` counts what is left out.
            warn!(source, sink, offset, attempt, delay_ms, error = %failure, "attempt failed, will try again");
        }
        self.note_failure(failure.to_string(), needs_person, delay).await;
        let is_out_of_patience = self.until == Until::Drained && self.failures >= DRAIN_ATTEMPTS_MAX;
        let ends_drain = is_out_of_patience || (needs_person && self.until == Until::Drained);
        if self.commit().await? == Settled::CutShort || ends_drain {
            return Ok(Settled::CutShort);
        }
        Ok(match self.signals.pause(delay, nudges_seen).await {
            Wake::Elapsed | Wake::Nudged => Settled::All,
            Wake::Stopping => Settled::CutShort,
        })
    }

    async fn note_failure(&mut self, trouble: String, needs_person: bool, delay: Duration) {
        let state = if needs_person { LaneState::Held } else { LaneState::Retrying };
        let is_news = (state, &trouble) != (self.state, &self.trouble);
        self.trouble = trouble;
        if is_news || delay >= NOTED_DELAY_MIN {
            self.note(state, Some(wall_clock::now_ms().saturating_add_unsigned(whole_millis(delay)))).await;
        }
    }

    /// Puts the progress on disk (I3). A disk that does not take it is waited for: without a commit
    /// nothing may be confirmed, and what was delivered must not be delivered again.
    async fn commit(&mut self) -> Result<Settled, RelayError> {
        if self.is_committed {
            return Ok(Settled::All);
        }
        let (store, source, sink, progress) = (&self.store, &self.source, &self.sink_name, &self.progress);
        failpoint::reached("committing");
        let written = persist("checkpoint", &self.signals, self.until, move || {
            store.commit(source, sink, progress.clone())
        });
        if written.await?.is_none() {
            return Ok(Settled::CutShort);
        }
        failpoint::reached("committed");
        self.is_committed = true;
        self.committed = self.progress.checkpoint.offset();
        self.progress.tally = Tally::default();
        self.progress.burials.clear();
        Ok(Settled::All)
    }

    /// Leaves a word for `status`. Only a word: when the disk does not take it, the log has it too.
    async fn note(&mut self, state: LaneState, next_ms: Option<i64>) {
        self.state = state;
        let note = LaneNote { state, next_ms, trouble: self.trouble.clone() };
        if let Err(failure) = self.store.note_lane(&self.source, &self.sink_name, note).await {
            debug!(source = self.source, sink = self.sink_name, error = %failure, "cannot note the lane's state");
        }
    }
}
