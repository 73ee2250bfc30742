//! One queue's loop: poll, settle or journal, pause.
//!
//! Keeps I2: the offset sent upstream is never above the least committed checkpoint of the source's lanes
//! (direct mode) or what the journal holds (journal mode), nor above the lowest id beside which others may
//! still become visible. A stop is looked at only while waiting for the portal or for time to pass (I7).

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::clock::PortalClock;
use super::direct::Direct;
use super::disk::Disk;
use super::gap::{Coverage, lament};
use super::journal::{Feeder, FullNotice, JournalWriter};
use super::lane::Settled;
use super::late::{Buried, Late};
use super::opening::Common;
use super::pace::Polled;
use super::poller::Poller;
use super::tail::{Shown, Tail};
use super::{Ending, RelayError, Until};
use crate::event::{Batch, Event, Offset};
use crate::failpoint;
use crate::portal::CallError;
use crate::service::Glimpses;
use crate::shutdown::Wake;
use crate::store::{Gap, Store};

/// How often a full journal is looked at again.
const FULL_INTERVAL: Duration = Duration::from_secs(1);

/// How often the end of the queue is looked at again before a drain is over.
const DRAIN_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Where events go from here.
pub enum Route {
    /// To the lanes, which settle them before the next poll.
    Direct(Direct),
    /// Into the journal, which the lanes read.
    Journal(JournalWriter, Vec<Feeder>),
}

/// What one step of the loop came to.
enum Step {
    /// The portal answered, and what it sent is settled or in the journal.
    Settled(Polled),
    /// The portal refused, or did not answer.
    Refused(CallError),
    /// The state file is to take no more.
    Full(String),
    /// Some of the batch was left: a stop, or a drain out of patience.
    CutShort,
    /// A stop came while we waited for the portal; whatever it was about to send is still there.
    Stopped,
}

/// See the top of this file.
pub struct Source {
    poller: Poller,
    tail: Tail,
    late: Late,
    coverage: Coverage,
    clock: PortalClock,
    glimpses: Glimpses,
    /// Sinks are told of gaps.
    tells_gaps: bool,
    store: Store,
    until: Until,
    disk: Disk,
    full: FullNotice,
    thefts: u64,
    /// What a drain has to get to.
    goal: Option<Offset>,
}

impl Source {
    pub fn new(
        poller: Poller,
        tail: Tail,
        late: Late,
        coverage: Coverage,
        clock: PortalClock,
        common: &Common,
    ) -> Self {
        Self {
            poller,
            tail,
            late,
            coverage,
            clock,
            glimpses: common.witness.glimpses.clone(),
            tells_gaps: common.delivery.gap_events,
            store: common.store.clone(),
            until: common.until,
            disk: common.disk(),
            full: FullNotice::default(),
            thefts: 0,
            goal: None,
        }
    }

    /// Polls, and lets events take `route`, until the run is over. All below `received` has been in the
    /// journal.
    ///
    /// # Errors
    /// Only what ends the process.
    pub async fn run(self, route: Route, received: Offset) -> Result<Ending, RelayError> {
        let coverage = self.coverage.clone();
        let ending = async {
            match route {
                Route::Direct(mut direct) => match direct.drain_journal(received).await? {
                    Settled::All => self.poll_on(Way::Direct(direct)).await,
                    Settled::CutShort => Ok(self.stopped()),
                },
                Route::Journal(writer, feeders) => {
                    let lanes = try_join_all(feeders.into_iter().map(Feeder::run));
                    let (ending, lanes) = tokio::try_join!(self.poll_on(Way::Journal(writer)), lanes)?;
                    Ok(lanes.into_iter().fold(ending, Ending::max))
                }
            }
        };
        tokio::select! {
            biased;
            ending = ending => ending,
            () = coverage.watch() => Ok(Ending::Clean),
        }
    }

    async fn poll_on(mut self, mut way: Way) -> Result<Ending, RelayError> {
        let ending = loop {
            let moment = self.poller.moment();
            let pause = match self.step(&mut way).await? {
                Step::Settled(polled) if self.until == Until::Drained && !polled.has_more => {
                    match self.drained(&mut way).await? {
                        Some(ending) => break ending,
                        None => self.tail.rises_in().max(DRAIN_INTERVAL_MIN),
                    }
                }
                Step::Settled(polled) => {
                    self.goal = None;
                    self.pause_after(polled)
                }
                Step::Refused(refusal) => match self.poller.after_refusal(&refusal).await {
                    Ok(delay) => delay,
                    Err(ending) => break ending,
                },
                Step::Full(reason) => {
                    self.full.full(self.poller.name(), &reason);
                    self.poller.note_trouble(&reason).await;
                    if self.until == Until::Drained {
                        break Ending::CutShort;
                    }
                    FULL_INTERVAL
                }
                Step::CutShort => break Ending::CutShort,
                Step::Stopped => break self.stopped(),
            };
            if self.poller.pause(pause, moment).await == Wake::Stopping {
                break self.stopped();
            }
        };
        self.poller.note_end().await;
        if let Way::Journal(writer) = &way {
            writer.finish();
        }
        Ok(ending)
    }

    /// A poll that could bring nothing new is not repeated before it can.
    fn pause_after(&mut self, polled: Polled) -> Duration {
        let pause = self.poller.pause_after(polled);
        if polled.has_more && polled.count == 0 { pause.max(self.tail.rises_in()) } else { pause }
    }

    /// Whether nothing more can appear before what the first poll that read to the end has shown: later
    /// ones are for the next run, or a busy queue would never be drained.
    async fn drained(&mut self, way: &mut Way) -> Result<Option<Ending>, RelayError> {
        let goal = *self.goal.get_or_insert(self.tail.end());
        let floor = self.tail.floor();
        if floor < goal {
            return Ok(None);
        }
        let raised = way.raise(floor, self.poller.confirmed()).await?;
        Ok(Some(raised.map_or(Ending::CutShort, |_| Ending::Clean)))
    }

    /// A stop between batches: clean for a daemon, but not the end that a drain was asked for.
    fn stopped(&self) -> Ending {
        match self.until {
            Until::Stopped => Ending::Clean,
            Until::Drained => Ending::CutShort,
        }
    }

    async fn step(&mut self, way: &mut Way) -> Result<Step, RelayError> {
        // A drain at the queue's end looks for latecomers only: it has no need to confirm anything.
        let floor = if self.goal.is_some() { Offset::START } else { self.tail.floor() };
        let Some(offset) = way.raise(floor, self.poller.confirmed()).await? else {
            return Ok(Step::CutShort);
        };
        if let Some(reason) = way.is_full().await {
            return Ok(Step::Full(reason));
        }
        self.full.over(self.poller.name());
        let asked_at = Instant::now();
        failpoint::reached("confirming");
        let batch = match self.poller.poll(offset, self.tail.count_from(offset)).await {
            Some(Ok(batch)) => batch,
            Some(Err(refusal)) => return Ok(Step::Refused(refusal)),
            None => return Ok(Step::Stopped),
        };
        failpoint::reached("received");
        self.take(batch, offset, asked_at, way).await
    }

    /// Brings what the portal answered into safety.
    async fn take(
        &mut self,
        batch: Batch,
        offset: Offset,
        asked_at: Instant,
        way: &mut Way,
    ) -> Result<Step, RelayError> {
        let portal_ms = self.clock.now_ms();
        if self.tell_gap(portal_ms, way).await? == Settled::CutShort {
            return Ok(Step::CutShort);
        }
        // Before anything is remembered of the batch: without room for them it is read again.
        match self.late.bury(&batch, offset).await? {
            Buried::All => {}
            Buried::NoRoom(reason) => return Ok(Step::Full(reason)),
            Buried::CutShort => return Ok(Step::CutShort),
        }
        let (has_more, covers_ms) = (batch.has_more, covered_by(&batch, portal_ms));
        self.begin_coverage(&batch, portal_ms);
        let shown = self.tail.read(batch, offset, asked_at, &self.clock);
        self.poller.received(&shown.fresh);
        self.glimpses.note(&shown.fresh);
        self.poller.note_answer(shown.fresh.is_empty()).await;
        self.tell(&shown).await;
        let (count, is_strained) = (shown.fresh.len(), self.poller.is_strained());
        debug!(source = self.poller.name(), offset = offset.get(), events = count, has_more, "polled");
        let floor = self.tail.floor();
        Ok(match way.take(shown.fresh, floor, self.poller.confirmed()).await? {
            Settled::All => {
                if let Some(covers_ms) = covers_ms {
                    self.coverage.extend(covers_ms);
                }
                Step::Settled(Polled { count, has_more, is_strained })
            }
            Settled::CutShort => Step::CutShort,
        })
    }

    /// Before anything was ever read: the oldest event that waits, or the present.
    fn begin_coverage(&self, batch: &Batch, portal_ms: i64) {
        if self.coverage.covered_ms().is_none() {
            let oldest = batch.events.first().and_then(Event::date_ms);
            self.coverage.extend(oldest.unwrap_or(portal_ms).min(portal_ms));
        }
    }

    /// What the end of the queue gave away.
    async fn tell(&mut self, shown: &Shown) {
        let source = self.poller.name();
        if shown.are_dates_odd {
            warn!(
                source,
                "the portal's dates contradict its clock: events are confirmed by our own clock alone"
            );
            if let Err(failure) = self.store.note_odd_dates(source).await {
                debug!(source, error = %failure, "cannot note the odd dates");
            }
        }
        if shown.stolen == 0 {
            return;
        }
        self.thefts += 1;
        if self.thefts.is_power_of_two() {
            // The first, then ever more rarely: `status` has the sum.
            error!(
                source,
                events = shown.stolen,
                times = self.thefts,
                "events disappeared before they were confirmed: does another program read this user's queue, or unsubscribe it? \
                 What it takes first cannot be delivered here"
            );
        }
        if let Err(failure) = self.store.note_theft(source, shown.stolen).await {
            debug!(source, error = %failure, "cannot count what disappeared");
        }
    }

    /// Puts a gap on record before anything of after it goes on.
    async fn tell_gap(&mut self, portal_ms: i64, way: &mut Way) -> Result<Settled, RelayError> {
        let Some((from_ms, to_ms)) = self.coverage.gap(portal_ms) else { return Ok(Settled::All) };
        let (store, source) = (&self.store, self.poller.name());
        let noted = self.disk.persist("gap", move || store.note_gap(source, from_ms, to_ms));
        let Some(number) = noted.await? else { return Ok(Settled::CutShort) };
        self.coverage.extend(to_ms);
        let gap = Gap { number, from_ms, to_ms };
        lament(source, &gap);
        if !self.tells_gaps {
            return Ok(Settled::All);
        }
        match way {
            Way::Direct(direct) => direct.announce(&gap).await,
            Way::Journal(writer) => {
                writer.announce(number);
                Ok(Settled::All)
            }
        }
    }
}

/// A [`Route`] whose lanes run elsewhere.
enum Way {
    Direct(Direct),
    Journal(JournalWriter),
}

impl Way {
    async fn raise(&mut self, floor: Offset, confirmed: Offset) -> Result<Option<Offset>, RelayError> {
        match self {
            Self::Direct(direct) => direct.raise(floor, confirmed).await,
            Self::Journal(writer) => writer.raise(floor, confirmed).await,
        }
    }

    async fn take(
        &mut self,
        events: Vec<Event>,
        floor: Offset,
        confirmed: Offset,
    ) -> Result<Settled, RelayError> {
        match self {
            Self::Direct(direct) => direct.take(&events, floor, confirmed).await,
            Self::Journal(writer) => writer.append(events, floor, confirmed).await,
        }
    }

    async fn is_full(&mut self) -> Option<String> {
        match self {
            Self::Direct(_) => None,
            Self::Journal(writer) => writer.is_full().await,
        }
    }
}

/// Up to when everything is in safety once `batch` is.
fn covered_by(batch: &Batch, portal_ms: i64) -> Option<i64> {
    if batch.has_more { batch.events.last().and_then(Event::date_ms) } else { Some(portal_ms) }
}
