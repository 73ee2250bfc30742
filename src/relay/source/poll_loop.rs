//! The loop of one queue: poll, journal, pause. Its lanes run independently beside it.
//!
//! Keeps I2: the offset that is sent comes from the confirm window, which is made of events in the journal. Nothing is
//! confirmed while the state file is not where it was opened. A stop is looked at only while waiting for the portal,
//! for the sinks or for time to pass (I7).

use std::time::Duration;

use b24_client::CallError;
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, warn};

use crate::config::Hold;
use crate::event::Seq;
use crate::event::{Batch, Event, EventId, Offset};
use crate::failpoint;
use crate::log_code;
use crate::relay::clock::PortalClock;
use crate::relay::context::EngineContext;
use crate::relay::journal::{Full, FullNotice, Journal};
use crate::relay::lane::worker::Lane;
use crate::relay::outcome::Ending;
use crate::relay::outcome::Halt;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Until;
use crate::relay::source::confirm_window::{ConfirmWindow, WindowView};
use crate::relay::source::pace::Polled;
use crate::relay::source::poller::Poller;
use crate::relay::source::retention::{Coverage, report_gap};
use crate::relay::source::unreadable::OddGuard;
use crate::relay::state_retry::Disk;
use crate::service::RecentEvents;
use crate::shutdown::{Signals, Wake};
use crate::store::{Gap, Store};

/// How often a full journal is checked again.
const FULL_INTERVAL: Duration = Duration::from_secs(1);

/// How often the end of the queue is checked again before a drain is over.
const DRAIN_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// After this time the sink that polling waits for is noted for `status`.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// If something other than the pause kept us from polling for longer than this, the portal may have been restored
/// meanwhile: the next poll confirms nothing.
const BLOCKED_MAX: Duration = Duration::from_secs(3);

/// The result of one step of the loop.
enum Step {
    /// The portal answered, and what it sent is in the journal.
    Settled(Polled),
    /// The portal refused, or did not answer.
    Refused(CallError),
    /// The journal accepts no more events.
    Full(Full),
    /// A stop came while we waited for the portal. It still has everything that it was about to send.
    Stopped,
}

pub(crate) struct Source {
    poller: Poller,
    journal: Journal,
    window: ConfirmWindow,
    odd: OddGuard,
    coverage: Coverage,
    clock: PortalClock,
    recent_events: RecentEvents,
    /// Whether sinks receive gap events.
    tells_gaps: bool,
    /// Gaps that must be reported to the sinks first.
    untold: Vec<u64>,
    hold: Hold,
    store: Store,
    signals: Signals,
    lane_signals: Signals,
    until: Until,
    disk: Disk,
    full: FullNotice,
    thefts: u64,
    /// Some sink may wait for the portal to report its time.
    needs_time: bool,
    /// When the portal answered last.
    answered_at: Option<Instant>,
    /// The length of the pause after that answer.
    paused: Duration,
    /// Where the journal ended when the run began.
    start: Seq,
    /// The portal was asked to forget something in this run, or there was nothing to forget.
    has_confirmed: bool,
    /// The offset of the next poll, if it is not the one of the confirm window.
    offset: Option<Offset>,
    /// The highest event that a drain must reach, and when the drain has seen the end of the queue.
    goal: Option<(Option<EventId>, Instant)>,
}

impl Source {
    pub(crate) fn new(
        poller: Poller,
        journal: Journal,
        window: ConfirmWindow,
        untold: Vec<u64>,
        context: &EngineContext,
    ) -> Self {
        let start = journal.end();
        let coverage = poller.coverage().clone();
        let clock = coverage.clock().clone();
        let odd = OddGuard::new(&poller.queue().source, &context.store);
        Self {
            poller,
            journal,
            window,
            odd,
            coverage,
            clock,
            recent_events: context.telemetry.recent_events.clone(),
            tells_gaps: context.delivery.gap_events,
            untold,
            hold: context.delivery.hold,
            store: context.store.clone(),
            signals: context.signals.clone(),
            lane_signals: context.lane_signals.clone(),
            until: context.until,
            disk: context.disk(),
            full: FullNotice::default(),
            thefts: 0,
            needs_time: false,
            answered_at: None,
            paused: Duration::ZERO,
            start,
            has_confirmed: false,
            offset: None,
            goal: None,
        }
    }

    /// Polls, and runs `lanes`, until the run is over. When only the lanes are stopped, polling ends after them.
    pub(crate) async fn run(mut self, lanes: Vec<Lane>) -> Result<Ending, RelayError> {
        self.needs_time = lanes.iter().any(Lane::needs_time);
        let (coverage, until) = (self.coverage.clone(), self.until);
        let (stop, lanes_stop) = (self.signals.stop.clone(), self.lane_signals.stop.clone());
        let ending = async {
            let lanes = async {
                let endings = try_join_all(lanes.into_iter().map(Lane::run)).await?;
                if until == Until::Stopped {
                    lanes_stop.cancelled().await;
                    stop.cancel();
                }
                Ok(endings)
            };
            let (ending, lanes) = tokio::try_join!(self.poll_on(), lanes)?;
            Ok(lanes.into_iter().fold(ending, Ending::max))
        };
        tokio::select! {
            biased;
            ending = ending => ending,
            () = coverage.watch() => Ok(Ending::Clean),
        }
    }

    async fn poll_on(mut self) -> Result<Ending, RelayError> {
        let gaps = std::mem::take(&mut self.untold);
        let polled = match self.tell_sinks(&gaps).await {
            Ok(()) => self.poll_until_over().await,
            Err(halt) => Err(halt),
        };
        let ending = Halt::unless_stopped(polled)?.unwrap_or(Ending::CutShort);
        self.poller.note_end().await;
        self.journal.finish();
        Ok(ending)
    }

    async fn poll_until_over(&mut self) -> Result<Ending, Halt> {
        loop {
            let moment = self.poller.moment();
            if Halt::unless_stopped(self.wait_for_sinks().await)?.is_none() {
                return Ok(self.stopped());
            }
            let pause = match self.step().await? {
                Step::Settled(polled) => {
                    let is_end = self.until == Until::Drained && !polled.has_more;
                    let must_confirm = is_end && self.must_confirm();
                    let is_drained = is_end && !must_confirm && self.is_drained();
                    let pause = match (is_end, must_confirm || is_drained) {
                        (true, true) => Duration::ZERO,
                        (true, false) => self.window.rises_in().max(DRAIN_INTERVAL_MIN),
                        (false, _) => self.pause_after(polled),
                    };
                    self.poller.note_answer(pause).await;
                    if is_drained {
                        return Ok(Ending::Clean);
                    }
                    pause
                }
                Step::Refused(refusal) => match self.poller.after_refusal(&refusal).await {
                    Ok(delay) => delay,
                    Err(ending) => return Ok(ending),
                },
                Step::Full(Full { sink, reason }) => {
                    self.full.full(self.poller.name(), &reason);
                    self.poller.note_blocked(sink, reason).await;
                    if self.until == Until::Drained {
                        return Ok(Ending::CutShort);
                    }
                    FULL_INTERVAL
                }
                Step::Stopped => return Ok(self.stopped()),
            };
            self.paused = pause;
            if self.poller.pause(pause, moment).await == Wake::Stopping {
                return Ok(self.stopped());
            }
        }
    }

    /// With `hold = "forever"`, waits until every sink has the events that were read. Only a poll for the portal's time
    /// does not wait, because a sink may need the time for that.
    async fn wait_for_sinks(&mut self) -> Result<(), Halt> {
        if self.hold != Hold::Forever || self.must_ask_time() || self.journal.last_sink().is_none() {
            return Ok(());
        }
        self.poller.rest();
        loop {
            tokio::select! {
                biased;
                () = self.signals.stop.cancelled() => return Err(Halt::Stopped),
                settled = self.journal.wait_delivered() => return settled,
                () = sleep(TOLD_AFTER) => {}
            }
            if let Some(sink) = self.journal.last_sink() {
                self.poller.note_held_back(sink).await;
            }
        }
    }

    /// Whether a sink may wait for the portal to report its time. If so, the portal is polled, whatever else prevents
    /// polling.
    fn must_ask_time(&self) -> bool {
        self.needs_time && self.answered_at.is_none()
    }

    /// The pause after a poll. A poll that could bring nothing new is not repeated before it can.
    fn pause_after(&mut self, polled: Polled) -> Duration {
        self.goal = None;
        let pause = self.poller.pause_after(polled);
        if polled.has_more && polled.count == 0 { pause.max(self.window.rises_in()) } else { pause }
    }

    /// Whether a drain that has reached the end of the queue must still confirm events of earlier runs.
    fn must_confirm(&mut self) -> bool {
        if std::mem::replace(&mut self.has_confirmed, true) {
            return false;
        }
        let offset = self.window.offset(self.journal.delivered(), self.start);
        self.offset = Some(offset).filter(|offset| *offset > Offset::START);
        self.offset.is_some()
    }

    /// Whether nothing more can appear below the highest event that the first poll to the end has shown. Later events
    /// are for the next run, or a busy queue would never be drained.
    fn is_drained(&mut self) -> bool {
        let (goal, seen_at) = *self.goal.get_or_insert((self.window.highest(), Instant::now()));
        goal.is_none_or(|goal| self.window.has_grown_to(goal, seen_at))
    }

    /// The ending after a stop between batches: clean for a daemon, but a drain has not reached its end.
    fn stopped(&self) -> Ending {
        match self.until {
            Until::Stopped => Ending::Clean,
            Until::Drained => Ending::CutShort,
        }
    }

    async fn step(&mut self) -> Result<Step, Halt> {
        let open = self.window.open();
        if let Some(full) = self.journal.is_full(open).await
            && !self.must_ask_time()
        {
            return Ok(Step::Full(full));
        }
        self.full.over(self.poller.name());
        let store = &self.store;
        self.disk.persist("state", move || store.verify()).await?;
        if self.answered_at.is_some_and(|at| at.elapsed() > self.paused + BLOCKED_MAX) {
            self.window.doubt();
            self.offset = None;
        }
        // A drain at the end of the queue only looks for late events. It need not confirm anything.
        let offset = match (self.offset.take(), self.goal) {
            (Some(offset), _) => offset,
            (None, Some(_)) => Offset::START,
            (None, None) => self.window.offset(self.journal.delivered(), self.journal.end()),
        };
        self.has_confirmed |= offset > Offset::START;
        let asked_at = Instant::now();
        self.window.send(offset);
        failpoint::reached("confirming");
        let count = self.window.count_from(offset);
        let (answer, ()) = tokio::join!(self.poller.poll(offset, count), self.journal.trim(open));
        let batch = match answer {
            Some(Ok(batch)) => batch,
            Some(Err(refusal)) => {
                self.window.doubt();
                return Ok(Step::Refused(refusal));
            }
            None => return Ok(Step::Stopped),
        };
        failpoint::reached("received");
        if self.answered_at.replace(Instant::now()).is_none() {
            self.journal.wake();
        }
        self.take(batch, offset, asked_at).await
    }

    /// Writes the readable part of the portal's answer to the journal.
    async fn take(&mut self, mut batch: Batch, offset: Offset, asked_at: Instant) -> Result<Step, Halt> {
        let portal_ms = self.clock.now_ms();
        self.note_gap(portal_ms).await?;
        self.begin_coverage(&batch, portal_ms);
        let done = offset.max(self.window.reading().confirmed);
        let cut = self.odd.cut(&mut batch, done).await?;
        self.tell_sinks(&cut.gaps).await?;
        let (has_more, covers_ms) = (batch.has_more, covered_by(&batch, portal_ms));
        let before = self.window.reading().clone();
        let mut shown = self.window.read(batch, offset, asked_at, &self.clock);
        self.poller.tell_first_answer(shown.fresh.len(), has_more);
        self.poller.received(&shown.fresh);
        self.recent_events.note(&shown.fresh);
        if cut.at.is_none() {
            self.poller.note_recovery().await;
        }
        self.tell(&shown).await;
        let (count, is_strained) = (shown.fresh.len(), self.poller.is_strained());
        debug!(source = self.poller.name(), offset = offset.get(), events = count, has_more, "polled");
        if *self.window.reading() != before {
            let fresh = std::mem::take(&mut shown.fresh);
            self.journal.append(fresh, self.window.reading()).await?;
        }
        if let Some(covers_ms) = covers_ms {
            self.coverage.extend(covers_ms);
        }
        Ok(match cut.at {
            Some(odd) => Step::Refused(self.poller.odd(&odd, done, cut.skips)),
            None => Step::Settled(Polled { count, has_more, is_strained }),
        })
    }

    /// Before anything was ever read, coverage begins with the oldest waiting event, or with the present.
    fn begin_coverage(&self, batch: &Batch, portal_ms: i64) {
        let is_unknown = batch.events.is_empty() && !batch.odd.is_empty();
        if self.coverage.covered_ms().is_none() && !is_unknown {
            let oldest = batch.events.first().and_then(Event::date_ms);
            self.coverage.extend(oldest.unwrap_or(portal_ms).min(portal_ms));
        }
    }

    /// Reports a restore, odd dates and disappeared events that the answer has revealed.
    async fn tell(&mut self, shown: &WindowView) {
        let source = self.poller.name();
        if let Some(proof) = &shown.restored {
            let (generation, events) = (self.window.reading().generation, shown.fresh.len());
            error!(
                code = %log_code::PORTAL_RESTORED,
                source,
                proof,
                generation,
                events,
                "the portal was restored or moved, and its event ids start again: all events that it has are delivered; \
                 events since its backup may be missing there"
            );
        }
        if shown.are_dates_odd {
            warn!(
                code = %log_code::DATES_ODD,
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
            // Log the first, then ever more rarely: `status` has the sum.
            error!(
                code = %log_code::FOREIGN_READER,
                source,
                events = shown.stolen,
                times = self.thefts,
                "events disappeared before they were confirmed: does another program read this user's queue, or unsubscribe it? \
                 The events that it takes cannot be delivered here"
            );
        }
        if let Err(failure) = self.store.note_theft(source, shown.stolen).await {
            debug!(source, error = %failure, "cannot count what disappeared");
        }
    }

    /// Records a gap before any later event is processed.
    async fn note_gap(&mut self, portal_ms: i64) -> Result<(), Halt> {
        let Some((from_ms, to_ms)) = self.coverage.gap(portal_ms) else { return Ok(()) };
        let (store, source, tells) = (&self.store, self.poller.name(), self.tells_gaps);
        let noted = self.disk.persist("gap", move || store.note_gap(source, from_ms, to_ms, tells));
        let number = noted.await?;
        self.coverage.extend(to_ms);
        report_gap(source, &Gap { number, from_ms, to_ms });
        self.tell_sinks(&[number]).await
    }

    /// Appends gap events for the sinks, in order.
    async fn tell_sinks(&mut self, gaps: &[u64]) -> Result<(), Halt> {
        for number in gaps.iter().filter(|_| self.tells_gaps) {
            self.journal.tell_gap(*number).await?;
            self.window.go_on_at(self.journal.end());
        }
        Ok(())
    }
}

/// Up to when all events are stored once `batch` is.
fn covered_by(batch: &Batch, portal_ms: i64) -> Option<i64> {
    if batch.has_more { batch.events.last().and_then(Event::date_ms) } else { Some(portal_ms) }
}
