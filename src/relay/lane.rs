//! One sink's way through one source's events: attempt, settle, commit.
//!
//! Keeps I1 (the checkpoint covers only what the sink holds, what its filter left out, and dead letters
//! that are in the same commit) and I7 (a stop is looked at while nothing is under way, never in an attempt).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;
use tracing::{debug, trace};

use super::clock::PortalClock;
use super::condition::Condition;
use super::fate::{Appetite, Fate};
use super::gate::{Gate, Gates, Pass};
use super::graveyard::Graveyard;
use super::ledger::{End, Ledger};
use super::opening::Common;
use super::pause::Pause;
use super::schedule::{Parcel, ParcelMax, Schedule};
use super::{RelayError, Until};
use crate::checkpoint::Checkpoint;
use crate::config::{BatchConfig, SinkConfig};
use crate::event::{Event, Offset};
use crate::failpoint;
use crate::service::LaneFigures;
use crate::shutdown::{Signals, Wake};
use crate::sink::DeliverError;
use crate::store::{Burial, LaneRecord};
use crate::wall_clock;

/// How often a sink rejects an event before it is buried: a deployment half-way may reject anything.
const REJECTIONS_MAX: u32 = 3;

/// What is too much for a receiver.
const TOO_LARGE: u16 = 413;

/// How often an event fails, or its sink is given up for a while, until a drain ends: whoever asked for it
/// wants an answer. A held sink ends it at once, as its probes are minutes apart.
const DRAIN_TRIES_MAX: u32 = 5;

/// When nothing but others can wake a lane.
const LONG: Duration = Duration::from_secs(3600);

/// Whether a lane came to the end of its events.
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
    config: SinkConfig,
    gate: Arc<Gate>,
    appetite: Appetite,
    graveyard: Graveyard,
    pause: Pause,
    clock: PortalClock,
    until: Until,
    signals: Signals,
    ledger: Ledger,
    condition: Condition,
    figures: LaneFigures,
    /// It takes only what happens from its beginning on, and that is still to come.
    is_beginning: bool,
    /// The queues that the sink has been resumed for: that of the source and that of its gaps.
    resumed: HashSet<Arc<str>>,
}

/// What the events of a round are.
#[derive(Clone, Copy)]
enum Cargo {
    /// Of the queue; nothing else will ever appear below the offset.
    Queue(Offset),
    /// Word of the gap of this number.
    Gap(u64),
}

/// The way through some events.
struct Round<'e> {
    cargo: Cargo,
    schedule: Schedule<'e>,
    attempts: FuturesUnordered<BoxFuture<'e, Attempt<'e>>>,
    max: ParcelMax,
    /// How many nudges have been followed.
    nudges: u64,
    /// A stop was asked for while attempts were under way.
    is_draining: bool,
    /// Nothing new is begun.
    is_leaving: bool,
}

/// An attempt that has come to its end.
struct Attempt<'e> {
    parcel: Parcel<'e>,
    pass: Pass,
    outcome: Result<(), DeliverError>,
    /// How many nudges there were when it began: a later one is about it.
    nudges: u64,
}

impl<'e> Round<'e> {
    fn new(events: Vec<&'e Event>, cargo: Cargo, lane: &Lane) -> Self {
        let (flow, retry) = (lane.config.flow, lane.config.retry);
        let bytes = flow.batch.map_or(u64::MAX, |batch| batch.bytes);
        Self {
            cargo,
            schedule: Schedule::new(events, flow.ordering, retry),
            attempts: FuturesUnordered::new(),
            max: ParcelMax { events: lane.gate.sink().attempt_max(), bytes },
            nudges: lane.signals.nudge_count(),
            is_draining: false,
            is_leaving: false,
        }
    }

    /// How long nothing becomes ready by itself. For what is ready already, the gate wakes us.
    fn rest(&self, now: Instant) -> Duration {
        self.schedule.ready_after(now).map_or(LONG, |at| at.saturating_duration_since(now))
    }
}

impl Lane {
    /// A lane that goes on where `record` ends; one that has none begins.
    pub fn new(
        source: &str,
        config: &SinkConfig,
        gate: Arc<Gate>,
        record: LaneRecord,
        common: &Common,
        clock: PortalClock,
    ) -> Self {
        Self {
            source: source.to_owned(),
            appetite: Appetite::new(config),
            graveyard: Graveyard::new(&config.name, common.delivery.dead_letters, &common.store),
            pause: Pause::new(source, &config.name, record.pause.clone(), common),
            ledger: Ledger::new(source, &config.name, record, common),
            condition: Condition::new(source, &config.name, &common.store),
            figures: common.witness.figures.lane(source, &config.name),
            config: config.clone(),
            gate,
            clock,
            until: common.until,
            signals: common.signals.clone(),
            is_beginning: false,
            resumed: HashSet::new(),
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
        &self.config.name
    }

    /// How many events the sink wants to have at once, if more than one.
    pub fn batch(&self) -> Option<BatchConfig> {
        self.config.flow.batch
    }

    /// The offset of the checkpoint on disk.
    pub fn committed(&self) -> Offset {
        self.ledger.committed()
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        self.ledger.checkpoint()
    }

    /// How many of the source's gaps the sink knows of.
    pub fn gaps(&self) -> u64 {
        self.ledger.gaps()
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
        self.ledger.confirm(confirmed);
        if self.begins(events) && self.ledger.commit().await? == Settled::CutShort {
            return Ok(Settled::CutShort);
        }
        let wanted = self.pass_by(events);
        let settled = self.go_round(wanted, Cargo::Queue(complete)).await?;
        if settled == Settled::All {
            self.ledger.raise(complete);
        }
        let (source, sink) = (&self.source, &self.config.name);
        debug!(source, sink, events = events.len(), offset = complete.get(), ?settled, "batch at its end");
        Ok(if self.ledger.commit().await? == Settled::All { settled } else { Settled::CutShort })
    }

    /// Tells the sink of something that is not in the queue; `number` is that of the gap it is about.
    ///
    /// # Errors
    /// As [`Lane::settle`].
    pub async fn announce(&mut self, event: &Event, number: u64) -> Result<Settled, RelayError> {
        if number <= self.ledger.gaps() {
            return Ok(Settled::All);
        }
        let settled = self.go_round(vec![event], Cargo::Gap(number)).await?;
        Ok(if self.ledger.commit().await? == Settled::All { settled } else { Settled::CutShort })
    }

    /// Whether its beginning is now: when the portal has told the time, as that is what events are dated by.
    fn begins(&mut self, events: &[Event]) -> bool {
        let begins = self.is_beginning && (self.clock.is_told() || !events.is_empty());
        if begins {
            self.is_beginning = false;
            self.ledger.begin(self.clock.now_ms());
        }
        begins
    }

    /// Settles what nobody needs to be troubled with, and returns the rest.
    fn pass_by<'e>(&mut self, events: &'e [Event]) -> Vec<&'e Event> {
        let mut wanted = Vec::with_capacity(events.len());
        for event in events {
            if self.ledger.checkpoint().covers(event.id) {
                continue;
            }
            match self.fate(event) {
                Fate::Wanted => wanted.push(event),
                Fate::Filtered => self.ledger.settle(event.id, End::Filtered),
                Fate::Expired => self.ledger.settle(event.id, End::Expired),
            }
        }
        wanted
    }

    fn fate(&self, event: &Event) -> Fate {
        self.appetite.fate(event, self.ledger.start_ms(), &self.clock)
    }

    /// Attempts until `events` are settled, or somebody stops us while we wait.
    async fn go_round(&mut self, events: Vec<&Event>, cargo: Cargo) -> Result<Settled, RelayError> {
        let mut round = Round::new(events, cargo, self);
        while let Some(lowest) = round.schedule.lowest() {
            if let Cargo::Queue(complete) = cargo {
                self.ledger.raise(lowest.as_offset().min(complete));
            }
            if round.is_leaving && round.attempts.is_empty() {
                return Ok(Settled::CutShort);
            }
            if self.pause.is_on() && round.attempts.is_empty() {
                round.is_leaving |= self.stand_still().await? == Settled::CutShort;
                continue;
            }
            let now = Instant::now();
            let (may_begin, may_rest) = (self.may_begin(&round, now), self.may_rest(&round));
            let is_drain = self.until == Until::Drained;
            let (rest, nudges) = (round.rest(now), round.nudges);
            tokio::select! {
                biased;
                committed = self.ledger.turn() => round.is_leaving |= committed? == Settled::CutShort,
                Some(attempt) = round.attempts.next() => self.judge(attempt, &mut round).await?,
                () = self.gate.is_hopeless(DRAIN_TRIES_MAX), if is_drain && !round.is_leaving => {
                    round.is_leaving = true;
                }
                () = self.signals.hurry.cancelled(), if !round.is_leaving => round.is_leaving = true,
                pass = self.gate.admit(), if may_begin => self.begin(pass, &mut round),
                wake = self.signals.pause(rest, nudges), if may_rest => match wake {
                    Wake::Elapsed => {}
                    Wake::Nudged => self.follow_nudge(&mut round),
                    Wake::Stopping if round.attempts.is_empty() => round.is_leaving = true,
                    Wake::Stopping => {
                        round.is_draining = true;
                        self.condition.drain().await;
                    }
                },
            }
        }
        Ok(Settled::All)
    }

    /// Until a person says otherwise; then everything begins anew.
    async fn stand_still(&mut self) -> Result<Settled, RelayError> {
        if self.ledger.commit().await? == Settled::CutShort || self.pause.wait().await? == Settled::CutShort {
            return Ok(Settled::CutShort);
        }
        self.condition.forget().await;
        Ok(Settled::All)
    }

    fn may_begin(&self, round: &Round<'_>, now: Instant) -> bool {
        !round.is_leaving && !self.pause.is_on() && self.ledger.has_room() && round.schedule.is_ready(now)
    }

    /// A wait for the disk is the ledger's, and what is under way at a stop comes to its end first.
    fn may_rest(&self, round: &Round<'_>) -> bool {
        let is_draining = round.is_draining && !round.attempts.is_empty();
        !round.is_leaving && !self.pause.is_on() && self.ledger.has_room() && !is_draining
    }

    fn follow_nudge(&self, round: &mut Round<'_>) {
        round.nudges = self.signals.nudge_count();
        round.schedule.hasten();
        self.gate.hasten();
    }

    /// Begins an attempt with what is next.
    fn begin(&mut self, pass: Pass, round: &mut Round<'_>) {
        let Some(mut parcel) = round.schedule.take(Instant::now(), round.max) else { return };
        // They may have grown too old while we waited.
        let expired = round.schedule.retain(&mut parcel, |event| self.fate(event) != Fate::Expired);
        for event in expired {
            self.ledger.settle(event.id, End::Expired);
        }
        if parcel.events.is_empty() {
            return;
        }
        parcel.tries += 1;
        if let Some(event) = parcel.first()
            && self.resumed.insert(Arc::clone(&event.queue.identity))
        {
            self.gate.sink().resume(&event.queue, None);
        }
        // Counted before the attempt: a nudge that comes while it fails must not be missed.
        let nudges = self.signals.nudge_count();
        let attempt = async move {
            failpoint::reached("attempting");
            let outcome = pass.deliver(&parcel.events).await.map(|_mark| ());
            Attempt { parcel, pass, outcome, nudges }
        };
        round.attempts.push(attempt.boxed());
    }

    async fn judge<'e>(&mut self, attempt: Attempt<'e>, round: &mut Round<'e>) -> Result<(), RelayError> {
        let Attempt { parcel, pass, outcome, nudges } = attempt;
        let Err(failure) = outcome else {
            failpoint::reached("answered");
            pass.succeed();
            self.settle_delivered(&parcel, round);
            if !round.schedule.has_failed() {
                self.condition.recover().await;
            }
            return Ok(());
        };
        match failure {
            DeliverError::Closed { reason } => {
                return Err(RelayError::SinkClosed { sink: self.config.name.clone(), reason });
            }
            DeliverError::Paused { reason, is_delivered } => {
                self.pause.begin(&reason).await?;
                if is_delivered {
                    self.settle_delivered(&parcel, round);
                } else {
                    round.schedule.repeat(parcel, None);
                }
            }
            DeliverError::Rejected { reason, status, answer, is_final } => {
                let rejection = Rejection { reason, status, answer, is_final };
                self.judge_rejected(parcel, pass, rejection, round).await;
            }
            failure @ (DeliverError::Transient { .. } | DeliverError::Held { .. }) => {
                self.wait_after(parcel, pass, &failure, round).await;
                // One that came meanwhile was about this attempt.
                if self.signals.nudge_count() != nudges {
                    self.follow_nudge(round);
                }
            }
        }
        Ok(())
    }

    fn settle_delivered<'e>(&mut self, parcel: &Parcel<'e>, round: &mut Round<'e>) {
        let (portal_ms, now_ms) = (self.clock.now_ms(), wall_clock::now_ms());
        for event in &parcel.events {
            let (source, sink) = (&self.source, &self.config.name);
            trace!(source, sink, event_id = event.id.get(), "delivered");
            self.figures.delivered(event, portal_ms, now_ms);
            match round.cargo {
                Cargo::Queue(_) => self.ledger.settle(event.id, End::Delivered),
                Cargo::Gap(number) => self.ledger.know_gap(number),
            }
        }
        round.schedule.settle(parcel);
        failpoint::reached("settled");
    }

    /// A parcel is halved until the event that the sink will never take is alone; that one is buried when it
    /// was rejected often enough.
    async fn judge_rejected<'e>(
        &mut self,
        mut parcel: Parcel<'e>,
        pass: Pass,
        rejection: Rejection,
        round: &mut Round<'e>,
    ) {
        parcel.rejections += 1;
        let is_final = rejection.is_final || parcel.rejections >= REJECTIONS_MAX;
        if parcel.events.len() > 1 && (is_final || rejection.status == Some(TOO_LARGE)) {
            let (sink, events, error) = (&self.config.name, parcel.events.len(), &rejection.reason);
            debug!(source = self.source, sink, events, error, "batch rejected: trying half of it");
            pass.succeed();
            round.max.events = parcel.events.len().div_ceil(2);
            round.schedule.halve(parcel);
            return;
        }
        if !is_final {
            let failure = rejection.into_failure();
            return self.wait_after(parcel, pass, &failure, round).await;
        }
        match (round.cargo, parcel.first()) {
            // The gap is in the log and in `status`: the sink does without.
            (Cargo::Gap(number), _) => self.ledger.know_gap(number),
            (Cargo::Queue(_), None) => {}
            (Cargo::Queue(_), Some(event)) => {
                let burial = rejection.into_burial(event, &parcel);
                if let Some(reason) = self.graveyard.refuses(&burial).await {
                    return self
                        .wait_after(parcel, pass, &DeliverError::Held { reason, wait: None }, round)
                        .await;
                }
                self.ledger.bury(burial);
                failpoint::reached("buried");
            }
        }
        pass.succeed();
        round.schedule.settle(&parcel);
        if !round.schedule.has_failed() {
            self.condition.forget().await;
        }
    }

    /// Says what went wrong, and puts `parcel` back for another attempt.
    async fn wait_after<'e>(
        &mut self,
        mut parcel: Parcel<'e>,
        pass: Pass,
        failure: &DeliverError,
        round: &mut Round<'e>,
    ) {
        let (own_delay, tries) = (parcel.backoff.next_delay(), parcel.tries);
        let (delay, gates) = pass.fail(failure, own_delay);
        let ready_at = (gates == Gates::Open).then(|| Instant::now() + delay);
        round.schedule.repeat(parcel, ready_at);
        if gates == Gates::ClosedBefore {
            return;
        }
        let offset = self.ledger.checkpoint().offset().get();
        self.condition.fail(failure, tries, delay, offset).await;
        round.is_leaving |= self.until == Until::Drained && tries >= DRAIN_TRIES_MAX;
    }
}

/// A sink's word that it will never take something.
struct Rejection {
    reason: String,
    status: Option<u16>,
    answer: String,
    /// One attempt was enough.
    is_final: bool,
}

impl Rejection {
    fn into_failure(self) -> DeliverError {
        let Self { reason, status, answer, is_final } = self;
        DeliverError::Rejected { reason, status, answer, is_final }
    }

    fn into_burial(self, event: &Event, parcel: &Parcel<'_>) -> Burial {
        Burial {
            event: event.clone(),
            reason: self.reason,
            status: self.status,
            answer: self.answer,
            attempts: parcel.tries,
            first_ms: parcel.first_ms,
        }
    }
}
