//! One sink's way through one source's journal: read, attempt, settle, commit.
//!
//! Keeps I1 (the checkpoint covers only events that the sink has, that its filter excluded, or that are dead letters in
//! the same commit) and I7 (a stop is looked at while nothing is in flight, never during an attempt).

mod filtering; // events that need no attempt
mod outcome; // the reaction to the result of an attempt

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::checkpoint::Checkpoint;
use crate::config::{OrderingConfig, SinkConfig};
use crate::event::Event;
use crate::failpoint;
use crate::relay::clock::PortalClock;
use crate::relay::context::EngineContext;
use crate::relay::journal::Reader;
use crate::relay::lane::committer::{Committer, End};
use crate::relay::lane::dead_letter_quota::DeadLetterQuota;
use crate::relay::lane::filter::{AgeFilter, ContentFilter, FilterDecision, LeftOut};
use crate::relay::lane::limiter::{BreakerState, DeliveryLimiter, Permit, Ticket};
use crate::relay::lane::pause::Pause;
use crate::relay::lane::schedule::{AttemptBatch, BatchLimit, Purpose, Schedule};
use crate::relay::lane::status::LaneStatus;
use crate::relay::outcome::Ending;
use crate::relay::outcome::Halt;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Until;
use crate::service::LaneMetrics;
use crate::shutdown::{Signals, Wake};
use crate::sink::{DeliverError, Mark};
use crate::store::{GAP_KIND, Inherited, LaneRecord};

/// How often an event may fail, or its sink be left alone, before a drain ends: the operator is waiting for a result. A
/// held sink ends a drain at once, because its probes are minutes apart.
const DRAIN_TRIES_MAX: u32 = 5;

/// A pause that only other wakeups end.
const LONG: Duration = Duration::from_secs(3600);

/// How many reads of the journal may follow each other, with no attempt in between, before other work has its turn.
const LOOKS_MAX: usize = 8;

pub(crate) struct Lane {
    source: String,
    config: SinkConfig,
    limiter: Arc<DeliveryLimiter>,
    ticket: Ticket,
    filter: ContentFilter,
    age: AgeFilter,
    quota: DeadLetterQuota,
    pause: Pause,
    clock: PortalClock,
    until: Until,
    signals: Signals,
    committer: Committer,
    status: LaneStatus,
    metrics: LaneMetrics,
    reader: Reader,
    inherited: Option<Inherited>,
    /// The mark that the sink gets before its first events of a queue, and the queues for which it has got it.
    mark: Option<String>,
    resumed: HashSet<Arc<str>>,
    /// The last known state of the sink's breaker.
    breaker: BreakerState,
    /// Why the lane waits until the portal reports its time, if it does.
    awaits: Option<Awaited>,
    left_out: LeftOut,
    schedule: Schedule,
    attempts: FuturesUnordered<BoxFuture<'static, Attempt>>,
    max: BatchLimit,
    /// Since when events are gathered for a batch that is not full.
    gathered_since: Option<Instant>,
    /// How many nudges have been handled.
    nudges: u64,
    /// A stop was requested while attempts were in flight.
    is_draining: bool,
    /// No new attempt begins.
    is_leaving: bool,
    /// The disk did not accept a commit before a stop.
    is_refused: bool,
}

/// Something that is unknown until the portal has reported its time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The beginning of a lane that takes only events from then on.
    Beginning,
    /// The age of the next event.
    Age,
}

/// A finished attempt.
struct Attempt {
    batch: AttemptBatch,
    permit: Permit,
    outcome: Result<Option<Mark>, DeliverError>,
    /// How many nudges there were when it began. A later nudge is about this attempt.
    nudges: u64,
}

/// A lane before it has its side of the journal.
pub(crate) struct LaneStart {
    /// The sink.
    pub config: SinkConfig,
    /// The limiter to it.
    pub limiter: Arc<DeliveryLimiter>,
    /// Its record in the state file.
    pub record: LaneRecord,
    /// Nothing has ever been settled.
    pub is_new: bool,
}

impl Lane {
    /// Creates the lane from `source` that `start` describes. `reader` creates its side of the journal at its position.
    pub(crate) fn new(
        source: &str,
        start: LaneStart,
        context: &EngineContext,
        clock: PortalClock,
        reader: impl FnOnce(&str, &Committer) -> Reader,
    ) -> Self {
        let LaneStart { config, limiter, record, is_new } = start;
        let age = AgeFilter::new(&config);
        let LaneRecord { pause, inherited, mark, .. } = record.clone();
        let committer = Committer::new(source, &config.name, record, context);
        let bytes =
            config.flow.batch.map_or(u64::MAX, |batch| batch.bytes).min(limiter.sink().attempt_bytes());
        Self {
            source: source.to_owned(),
            quota: DeadLetterQuota::new(
                &config.name,
                context.delivery.dead_letters,
                &context.store,
                &context.dead_letter_log,
            ),
            pause: Pause::new(source, &config.name, pause, context),
            status: LaneStatus::new(source, &config.name, &context.store),
            metrics: context.telemetry.metrics.lane(source, &config.name),
            reader: reader(&config.name, &committer),
            committer,
            inherited,
            mark,
            resumed: HashSet::new(),
            breaker: BreakerState::Closed,
            clock,
            until: context.until,
            signals: context.signals.clone(),
            awaits: (is_new && age.starts_now()).then_some(Awaited::Beginning),
            left_out: LeftOut::of(&config),
            filter: ContentFilter::new(&config),
            age,
            schedule: Schedule::new(config.flow.ordering, config.retry),
            attempts: FuturesUnordered::new(),
            max: BatchLimit { events: limiter.sink().attempt_max(), bytes },
            gathered_since: None,
            nudges: context.signals.nudge_count(),
            is_draining: false,
            is_leaving: false,
            is_refused: false,
            config,
            ticket: limiter.ticket(),
            limiter,
        }
    }

    /// Delivers the events that the journal holds and will hold, until the run is over.
    ///
    /// # Errors
    /// Only errors that end the process. A failing sink is retried until it takes the events.
    pub(crate) async fn run(mut self) -> Result<Ending, RelayError> {
        let is_complete = loop {
            if self.is_leaving && self.attempts.is_empty() {
                break false;
            }
            match Halt::unless_stopped(self.step().await)? {
                Some(ControlFlow::Continue(())) => {}
                Some(ControlFlow::Break(())) => break true,
                None => self.is_leaving = true,
            }
        };
        let is_committed = Halt::unless_stopped(self.committer.commit().await)?.is_some();
        let (source, sink) = (&self.source, &self.config.name);
        debug!(source, sink, next = self.checkpoint().next().get(), is_complete, "lane at its end");
        // The remaining events are in the journal, so a daemon ends cleanly. A drain should have left none.
        let is_clean = is_committed && (is_complete || self.until == Until::Stopped);
        Ok(if is_clean { Ending::Clean } else { Ending::CutShort })
    }

    /// Reads on, and handles what happens next. Breaks when everything is settled and nothing more will be read.
    async fn step(&mut self) -> Result<ControlFlow<()>, Halt> {
        self.fill().await?;
        if self.schedule.is_empty() && self.has_ended() {
            return Ok(ControlFlow::Break(()));
        }
        if self.pause.is_on() && self.attempts.is_empty() && !self.schedule.is_empty() {
            self.stand_still().await?;
        } else {
            self.turn().await?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether nothing more will be read.
    fn has_ended(&self) -> bool {
        let has_read_all = self.reader.is_final() || self.awaits.is_some() && self.reader.is_finished();
        has_read_all || self.signals.stop.is_cancelled()
    }

    /// Whether it may wait for the portal to report its time.
    pub(crate) fn needs_time(&self) -> bool {
        self.age.needs_time()
    }

    fn checkpoint(&self) -> &Checkpoint {
        self.committer.checkpoint()
    }

    /// Waits for the next thing to happen, and handles it.
    async fn turn(&mut self) -> Result<(), RelayError> {
        let now = Instant::now();
        let (may_begin, may_rest) = (self.may_begin(now), self.may_rest());
        let (is_drain, may_read) = (self.until == Until::Drained, self.wants_more());
        let (rest, nudges) = (self.rest(now), self.nudges);
        let gathered_at = self.gathered_at(now);
        tokio::select! {
            biased;
            // A disk that refuses writes during a stop would be asked without a pause. It is asked once more at the
            // end.
            committed = self.committer.turn(), if !self.is_refused => {
                self.is_refused = Halt::unless_stopped(committed)?.is_none();
                self.is_leaving |= self.is_refused;
            }
            Some(attempt) = self.attempts.next() => self.judge(attempt).await?,
            () = self.limiter.is_exhausted(DRAIN_TRIES_MAX), if is_drain && !self.is_leaving => {
                self.is_leaving = true;
            }
            () = self.signals.hurry.cancelled(), if !self.is_leaving => self.is_leaving = true,
            permit = self.ticket.admit(), if may_begin => self.begin(permit),
            status = self.limiter.breaker_other_than(&self.breaker), if !self.is_leaving => {
                self.follow_breaker(status).await;
            }
            () = self.reader.changed(), if may_read => {}
            () = sleep_until(gathered_at), if gathered_at > now => {}
            wake = self.signals.pause(rest, nudges), if may_rest => match wake {
                Wake::Elapsed => {}
                Wake::Nudged => self.follow_nudge(),
                Wake::Stopping if self.attempts.is_empty() => self.is_leaving = true,
                Wake::Stopping => {
                    self.is_draining = true;
                    self.status.drain().await;
                }
            },
        }
        Ok(())
    }

    /// When there are enough events for a batch, or they have waited for long enough.
    fn gathered_at(&mut self, now: Instant) -> Instant {
        let fresh = self.schedule.fresh_count();
        let Some(batch) = self.config.flow.batch.filter(|_| fresh > 0) else {
            self.gathered_since = None;
            return now;
        };
        let is_end = self.reader.is_final() || self.signals.stop.is_cancelled();
        if fresh >= usize::from(batch.events) || self.reader.has_more() || is_end {
            return now;
        }
        *self.gathered_since.get_or_insert(now) + batch.wait
    }

    /// How long it takes until something becomes ready. If something is ready already, the limiter wakes the lane.
    fn rest(&self, now: Instant) -> Duration {
        self.schedule.ready_after(now).map_or(LONG, |at| at.saturating_duration_since(now))
    }

    /// Whether there is room for more events.
    fn wants_more(&self) -> bool {
        let is_full = self.schedule.bytes() >= self.reader.memory();
        !self.is_leaving && !self.signals.stop.is_cancelled() && self.schedule.is_open() && !is_full
    }

    /// Reads on while there is room. A lane that takes only future events begins when the portal has reported its time,
    /// because that is how events are dated.
    async fn fill(&mut self) -> Result<(), Halt> {
        self.make_room();
        let awaited = if self.clock.is_heard() { self.awaits.take() } else { None };
        if awaited == Some(Awaited::Beginning) {
            self.committer.begin(self.clock.now_ms());
            self.committer.commit().await?;
        }
        for _ in 0..LOOKS_MAX {
            if self.awaits.is_some() || !self.wants_more() || !self.reader.has_more() {
                break;
            }
            let entries = self.reader.read().await?;
            self.sort(entries);
        }
        Ok(())
    }

    /// Makes room to read others when failed events take up all of it.
    fn make_room(&mut self) {
        if self.schedule.must_read_again() {
            self.reader.go_back_to(self.committer.checkpoint().next());
        }
        let is_full = self.schedule.bytes() >= self.reader.memory();
        let is_chat = self.config.flow.ordering == OrderingConfig::Chat;
        if is_full && is_chat && !self.schedule.has_ready() && self.attempts.is_empty() {
            self.schedule.set_aside();
        }
    }

    /// Waits until the operator resumes the lane, which then starts again.
    async fn stand_still(&mut self) -> Result<(), Halt> {
        self.committer.commit().await?;
        self.pause.wait().await?;
        self.status.forget().await;
        Ok(())
    }

    fn may_begin(&mut self, now: Instant) -> bool {
        !self.is_leaving
            && !self.pause.is_on()
            && self.committer.has_room()
            && self.schedule.is_ready(now, self.purpose())
            && self.gathered_at(now) <= now
    }

    /// Whether the lane may rest. The committer waits for the disk, and attempts in flight at a stop finish first.
    fn may_rest(&self) -> bool {
        let is_draining = self.is_draining && !self.attempts.is_empty();
        !self.is_leaving && !self.pause.is_on() && self.committer.has_room() && !is_draining
    }

    fn follow_nudge(&mut self) {
        self.nudges = self.signals.nudge_count();
        self.schedule.retry_now();
        self.limiter.retry_now();
    }

    /// Notes the new state of the breaker, which shows in all lanes of the sink.
    async fn follow_breaker(&mut self, status: BreakerState) {
        match &status {
            BreakerState::Open { needs_operator, reason, until } => {
                self.status.show(*needs_operator, reason, *until).await;
            }
            BreakerState::Closed if !self.schedule.has_failed() => self.status.recover().await,
            BreakerState::Closed => {}
        }
        self.breaker = status;
    }

    /// Whether the next attempt is made for its events or as a probe of the sink.
    fn purpose(&self) -> Purpose {
        if self.limiter.is_tripped() { Purpose::Probe } else { Purpose::Delivery }
    }

    /// Begins an attempt with the next events.
    fn begin(&mut self, permit: Permit) {
        self.gathered_since = None;
        let purpose = self.purpose();
        let Some(mut batch) = self.schedule.take(Instant::now(), self.max, purpose) else { return };
        // Events may have become too old while we waited. Time spent behind another event's failure does not count.
        if batch.tries > 0 || !batch.has_waited {
            let (age, start_ms, clock) = (&self.age, self.committer.start_ms(), &self.clock);
            let is_expired = |event: &Event| {
                event.kind != GAP_KIND && age.decision(event, start_ms, clock) == FilterDecision::Expired
            };
            for expired in self.schedule.retain(&mut batch, |event| !is_expired(event)) {
                self.committer.settle(expired.seq, End::Expired);
            }
        }
        if batch.entries.is_empty() {
            self.schedule.settle(&batch);
            return;
        }
        batch.tries += 1;
        if let Some(queue) = batch.first().map(|entry| &entry.event.queue)
            && self.resumed.insert(Arc::clone(&queue.identity))
        {
            self.limiter.sink().resume(queue, self.mark.as_deref());
        }
        // Count before the attempt: a nudge that comes while it fails must not be missed.
        let nudges = self.signals.nudge_count();
        let attempt = async move {
            failpoint::reached("attempting");
            let outcome = permit.deliver(&batch.events()).await;
            Attempt { batch, permit, outcome, nudges }
        };
        self.attempts.push(attempt.boxed());
    }
}
