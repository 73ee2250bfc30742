//! One sink's way through one source's journal: read, attempt, settle, commit.
//!
//! Keeps I1 (the checkpoint covers only events that the sink has, that its filter excluded, or that are dead letters in
//! the same commit) and I7 (a stop is looked at while nothing is in flight, never during an attempt).

mod outcome;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::checkpoint::Checkpoint;
use crate::config::{OrderingConfig, SinkConfig};
use crate::event::{Entry, Event};
use crate::failpoint;
use crate::log_code;
use crate::relay::clock::PortalClock;
use crate::relay::context::Common;
use crate::relay::journal::Reader;
use crate::relay::lane::committer::{End, Ledger};
use crate::relay::lane::dead_letter_quota::Graveyard;
use crate::relay::lane::filter::{Appetite, Fate, LeftOut};
use crate::relay::lane::limiter::{Gate, GateCondition, Pass, Ticket};
use crate::relay::lane::pause::Pause;
use crate::relay::lane::schedule::{Parcel, ParcelMax, Purpose, Schedule};
use crate::relay::lane::status::Condition;
use crate::relay::outcome::Ending;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Settled;
use crate::relay::outcome::Until;
use crate::service::LaneFigures;
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

pub struct Lane {
    source: String,
    config: SinkConfig,
    gate: Arc<Gate>,
    ticket: Ticket,
    appetite: Appetite,
    graveyard: Graveyard,
    pause: Pause,
    clock: PortalClock,
    until: Until,
    signals: Signals,
    ledger: Ledger,
    condition: Condition,
    figures: LaneFigures,
    reader: Reader,
    inherited: Option<Inherited>,
    /// The mark that the sink gets before its first events of a queue, and the queues for which it has got it.
    mark: Option<String>,
    resumed: HashSet<Arc<str>>,
    /// The last known condition of the sink as a whole.
    gate_condition: GateCondition,
    /// Why the lane waits until the portal reports its time, if it does.
    awaits: Option<Awaited>,
    left_out: LeftOut,
    schedule: Schedule,
    attempts: FuturesUnordered<BoxFuture<'static, Attempt>>,
    max: ParcelMax,
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
    parcel: Parcel,
    pass: Pass,
    outcome: Result<Option<Mark>, DeliverError>,
    /// How many nudges there were when it began. A later nudge is about this attempt.
    nudges: u64,
}

/// A lane before it has its side of the journal.
pub struct LaneStart {
    /// The sink.
    pub config: SinkConfig,
    /// The gate to it.
    pub gate: Arc<Gate>,
    /// Its record in the state file.
    pub record: LaneRecord,
    /// Nothing has ever been settled.
    pub is_new: bool,
}

impl Lane {
    /// Creates the lane from `source` that `start` describes. `reader` creates its side of the journal at its position.
    pub fn new(
        source: &str,
        start: LaneStart,
        common: &Common,
        clock: PortalClock,
        reader: impl FnOnce(&str, &Ledger) -> Reader,
    ) -> Self {
        let LaneStart { config, gate, record, is_new } = start;
        let appetite = Appetite::new(&config);
        let LaneRecord { pause, inherited, mark, .. } = record.clone();
        let ledger = Ledger::new(source, &config.name, record, common);
        let bytes = config.flow.batch.map_or(u64::MAX, |batch| batch.bytes).min(gate.sink().attempt_bytes());
        Self {
            source: source.to_owned(),
            graveyard: Graveyard::new(
                &config.name,
                common.delivery.dead_letters,
                &common.store,
                &common.dead_letter_log,
            ),
            pause: Pause::new(source, &config.name, pause, common),
            condition: Condition::new(source, &config.name, &common.store),
            figures: common.witness.figures.lane(source, &config.name),
            reader: reader(&config.name, &ledger),
            ledger,
            inherited,
            mark,
            resumed: HashSet::new(),
            gate_condition: GateCondition::Open,
            clock,
            until: common.until,
            signals: common.signals.clone(),
            awaits: (is_new && appetite.starts_now()).then_some(Awaited::Beginning),
            left_out: LeftOut::of(&config),
            appetite,
            schedule: Schedule::new(config.flow.ordering, config.retry),
            attempts: FuturesUnordered::new(),
            max: ParcelMax { events: gate.sink().attempt_max(), bytes },
            gathered_since: None,
            nudges: common.signals.nudge_count(),
            is_draining: false,
            is_leaving: false,
            is_refused: false,
            config,
            ticket: gate.ticket(),
            gate,
        }
    }

    /// Delivers the events that the journal holds and will hold, until the run is over.
    ///
    /// # Errors
    /// Only errors that end the process. A failing sink is retried until it takes the events.
    pub async fn run(mut self) -> Result<Ending, RelayError> {
        let settled = loop {
            if self.is_leaving && self.attempts.is_empty() {
                break Settled::CutShort;
            }
            if self.fill().await? == Settled::CutShort {
                self.is_leaving = true;
                continue;
            }
            if self.schedule.is_empty() && self.has_ended() {
                break Settled::All;
            }
            if self.pause.is_on() && self.attempts.is_empty() && !self.schedule.is_empty() {
                self.is_leaving |= self.stand_still().await? == Settled::CutShort;
                continue;
            }
            self.turn().await?;
        };
        let committed = self.ledger.commit().await?;
        let (source, sink) = (&self.source, &self.config.name);
        debug!(source, sink, next = self.checkpoint().next().get(), ?settled, "lane at its end");
        Ok(match (self.until, settled, committed) {
            // The remaining events are in the journal, so a daemon ends cleanly. A drain should have left none.
            (_, Settled::All, Settled::All) | (Until::Stopped, _, Settled::All) => Ending::Clean,
            (Until::Stopped | Until::Drained, ..) => Ending::CutShort,
        })
    }

    /// Whether nothing more will be read.
    fn has_ended(&self) -> bool {
        let has_read_all = self.reader.is_final() || self.awaits.is_some() && self.reader.is_finished();
        has_read_all || self.signals.stop.is_cancelled()
    }

    /// Whether it may wait for the portal to report its time.
    pub fn needs_time(&self) -> bool {
        self.appetite.needs_time()
    }

    fn checkpoint(&self) -> &Checkpoint {
        self.ledger.checkpoint()
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
            committed = self.ledger.turn(), if !self.is_refused => {
                self.is_refused = committed? == Settled::CutShort;
                self.is_leaving |= self.is_refused;
            }
            Some(attempt) = self.attempts.next() => self.judge(attempt).await?,
            () = self.gate.is_hopeless(DRAIN_TRIES_MAX), if is_drain && !self.is_leaving => {
                self.is_leaving = true;
            }
            () = self.signals.hurry.cancelled(), if !self.is_leaving => self.is_leaving = true,
            pass = self.ticket.admit(), if may_begin => self.begin(pass),
            condition = self.gate.condition_other_than(&self.gate_condition), if !self.is_leaving => {
                self.follow_gate(condition).await;
            }
            () = self.reader.changed(), if may_read => {}
            () = sleep_until(gathered_at), if gathered_at > now => {}
            wake = self.signals.pause(rest, nudges), if may_rest => match wake {
                Wake::Elapsed => {}
                Wake::Nudged => self.follow_nudge(),
                Wake::Stopping if self.attempts.is_empty() => self.is_leaving = true,
                Wake::Stopping => {
                    self.is_draining = true;
                    self.condition.drain().await;
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

    /// How long it takes until something becomes ready. If something is ready already, the gate wakes the lane.
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
    async fn fill(&mut self) -> Result<Settled, RelayError> {
        self.make_room();
        let awaited = if self.clock.is_heard() { self.awaits.take() } else { None };
        if awaited == Some(Awaited::Beginning) {
            self.ledger.begin(self.clock.now_ms());
            if self.ledger.commit().await? == Settled::CutShort {
                return Ok(Settled::CutShort);
            }
        }
        for _ in 0..LOOKS_MAX {
            if self.awaits.is_some() || !self.wants_more() || !self.reader.has_more() {
                break;
            }
            let Some(entries) = self.reader.read().await? else { return Ok(Settled::CutShort) };
            self.sort(entries);
        }
        Ok(Settled::All)
    }

    /// Makes room to read others when failed events take up all of it.
    fn make_room(&mut self) {
        if self.schedule.must_read_again() {
            self.reader.go_back_to(self.ledger.checkpoint().next());
        }
        let is_full = self.schedule.bytes() >= self.reader.memory();
        let is_chat = self.config.flow.ordering == OrderingConfig::Chat;
        if is_full && is_chat && !self.schedule.has_ready() && self.attempts.is_empty() {
            self.schedule.set_aside();
        }
    }

    /// Settles the events that need no attempt, and schedules the rest.
    fn sort(&mut self, entries: Vec<Arc<Entry>>) {
        for entry in entries {
            if !self.schedule.is_open() {
                // It comes behind an event that waits for all before it, and is read again after that.
                self.reader.go_back_to(entry.seq);
                return;
            }
            if self.checkpoint().covers(entry.seq) || self.schedule.holds(entry.seq) {
                continue;
            }
            let event = &entry.event;
            if self.inherited.as_ref().is_some_and(|inherited| inherited.has_settled(event)) {
                self.ledger.settle(entry.seq, End::Known);
                continue;
            }
            let fate = self.fate(event);
            if self.left_out.is_everything(fate) {
                let (source, sink) = (&self.source, &self.config.name);
                let events = self.config.events.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
                warn!(
                    code = %log_code::EVERYTHING_FILTERED,
                    source,
                    sink, events, "the sink's `events` has left out the first 100 events: is it right?"
                );
            }
            match fate {
                Fate::Filtered => self.ledger.settle(entry.seq, End::Filtered),
                Fate::Expired if !self.schedule.waits_behind_failure(&entry) => {
                    self.ledger.settle(entry.seq, End::Expired);
                }
                Fate::Doubtful => {
                    self.awaits = Some(Awaited::Age);
                    self.reader.go_back_to(entry.seq);
                    return;
                }
                Fate::Wanted | Fate::Expired => self.schedule.push(entry),
            }
        }
    }

    fn fate(&self, event: &Event) -> Fate {
        // Whatever a sink takes, it must learn which events it may have missed.
        if event.kind == GAP_KIND {
            return Fate::Wanted;
        }
        self.appetite.fate(event, self.ledger.start_ms(), &self.clock)
    }

    /// Waits until the operator resumes the lane, which then starts again.
    async fn stand_still(&mut self) -> Result<Settled, RelayError> {
        if self.ledger.commit().await? == Settled::CutShort || self.pause.wait().await? == Settled::CutShort {
            return Ok(Settled::CutShort);
        }
        self.condition.forget().await;
        Ok(Settled::All)
    }

    fn may_begin(&mut self, now: Instant) -> bool {
        !self.is_leaving
            && !self.pause.is_on()
            && self.ledger.has_room()
            && self.schedule.is_ready(now, self.purpose())
            && self.gathered_at(now) <= now
    }

    /// Whether the lane may rest. The ledger waits for the disk, and attempts in flight at a stop finish first.
    fn may_rest(&self) -> bool {
        let is_draining = self.is_draining && !self.attempts.is_empty();
        !self.is_leaving && !self.pause.is_on() && self.ledger.has_room() && !is_draining
    }

    fn follow_nudge(&mut self) {
        self.nudges = self.signals.nudge_count();
        self.schedule.hasten();
        self.gate.hasten();
    }

    /// Notes the new condition of the sink as a whole, which shows in all of its lanes.
    async fn follow_gate(&mut self, condition: GateCondition) {
        match &condition {
            GateCondition::Closed { needs_person, reason, until } => {
                self.condition.show(*needs_person, reason, *until).await;
            }
            GateCondition::Open if !self.schedule.has_failed() => self.condition.recover().await,
            GateCondition::Open => {}
        }
        self.gate_condition = condition;
    }

    /// Whether the next attempt is made for its events or as a probe of the sink.
    fn purpose(&self) -> Purpose {
        if self.gate.is_closed() { Purpose::Probe } else { Purpose::Delivery }
    }

    /// Begins an attempt with the next events.
    fn begin(&mut self, pass: Pass) {
        self.gathered_since = None;
        let purpose = self.purpose();
        let Some(mut parcel) = self.schedule.take(Instant::now(), self.max, purpose) else { return };
        // Events may have become too old while we waited. Time spent behind another event's failure does not count.
        if parcel.tries > 0 || !parcel.has_waited {
            let (appetite, start_ms, clock) = (&self.appetite, self.ledger.start_ms(), &self.clock);
            let is_expired = |event: &Event| {
                event.kind != GAP_KIND && appetite.fate(event, start_ms, clock) == Fate::Expired
            };
            for expired in self.schedule.retain(&mut parcel, |event| !is_expired(event)) {
                self.ledger.settle(expired.seq, End::Expired);
            }
        }
        if parcel.entries.is_empty() {
            self.schedule.settle(&parcel);
            return;
        }
        parcel.tries += 1;
        if let Some(queue) = parcel.first().map(|entry| &entry.event.queue)
            && self.resumed.insert(Arc::clone(&queue.identity))
        {
            self.gate.sink().resume(queue, self.mark.as_deref());
        }
        // Count before the attempt: a nudge that comes while it fails must not be missed.
        let nudges = self.signals.nudge_count();
        let attempt = async move {
            failpoint::reached("attempting");
            let outcome = pass.deliver(&parcel.events()).await;
            Attempt { parcel, pass, outcome, nudges }
        };
        self.attempts.push(attempt.boxed());
    }
}
