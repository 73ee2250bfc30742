//! Journal mode: events are confirmed once they are in the journal, and each lane reads it at its own pace.
//!
//! Keeps I3: an append is on the disk before the portal is asked for anything later. [`JournalWriter`] is
//! the polling side, [`Feeder`] the side of one lane.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::disk::Disk;
use super::gap::gap_event;
use super::lane::{Lane, Settled};
use super::opening::Common;
use super::{Ending, RelayError, Until};
use crate::config::JournalConfig;
use crate::event::{Event, Offset, Queue};
use crate::failpoint;
use crate::shutdown::Signals;
use crate::store::{Chunk, Fill, Store};
use crate::wall_clock;

/// How often settled events are deleted.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);

/// How often in a row: each time takes ten thousand events, and polling waits meanwhile.
const TRIMS_MAX: u32 = 100;

/// From which share of the bounds on a person is told, in percent.
const WARNING_PERCENT: u64 = 80;

/// What the lanes need to know of the journal's end.
#[derive(Clone, Debug)]
pub struct Head {
    /// Nothing else will ever be appended below it.
    floor: Offset,
    /// What the portal has forgotten.
    confirmed: Offset,
    /// How many gaps sinks are to be told of.
    gaps: u64,
    /// Nothing else will be appended at all.
    is_final: bool,
}

/// The polling side of one source's journal.
pub struct JournalWriter {
    queue: Arc<Queue>,
    limits: JournalConfig,
    store: Store,
    signals: Signals,
    until: Until,
    disk: Disk,
    head: watch::Sender<Head>,
    /// The lanes' sinks.
    sinks: Vec<String>,
    trimmed_at: Option<Instant>,
    is_nearly_full: bool,
}

impl JournalWriter {
    /// A writer that has all below `received`; of the source's gaps, sinks are to know `gaps`.
    pub fn new(queue: &Arc<Queue>, received: Offset, gaps: u64, common: &Common) -> Self {
        let head = Head { floor: received, confirmed: Offset::START, gaps, is_final: false };
        Self {
            queue: Arc::clone(queue),
            limits: common.delivery.journal,
            store: common.store.clone(),
            signals: common.signals.clone(),
            until: common.until,
            disk: common.disk(),
            head: watch::Sender::new(head),
            sinks: Vec::new(),
            trimmed_at: None,
            is_nearly_full: false,
        }
    }

    /// The other side, for `lane`.
    pub fn feeder(&mut self, lane: Lane) -> Feeder {
        self.sinks.push(lane.sink_name().to_owned());
        Feeder {
            queue: Arc::clone(&self.queue),
            lane,
            store: self.store.clone(),
            signals: self.signals.clone(),
            until: self.until,
            disk: self.disk.clone(),
            head: self.head.subscribe(),
        }
    }

    /// Makes durable that nothing else will appear below `floor`, and returns from where to poll; `None`
    /// when a stop came first.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn raise(&mut self, floor: Offset, confirmed: Offset) -> Result<Option<Offset>, RelayError> {
        let received = self.head.borrow().floor;
        if floor > received && self.append(Vec::new(), floor, confirmed).await? == Settled::CutShort {
            return Ok(None);
        }
        self.trim().await;
        Ok(Some(floor.max(received)))
    }

    /// Makes `events` durable, and that nothing else will appear below `floor`.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn append(
        &mut self,
        events: Vec<Event>,
        floor: Offset,
        confirmed: Offset,
    ) -> Result<Settled, RelayError> {
        let (store, queue, events) = (&self.store, &self.queue, Arc::new(events));
        failpoint::reached("appending");
        let appended =
            self.disk.persist("journal", move || store.append(&queue.source, Arc::clone(&events), floor));
        if appended.await?.is_none() {
            return Ok(Settled::CutShort);
        }
        failpoint::reached("appended");
        self.head.send_modify(|head| {
            head.floor = head.floor.max(floor);
            head.confirmed = confirmed;
        });
        Ok(Settled::All)
    }

    /// Has the lanes tell their sinks of the first `count` gaps.
    pub fn announce(&self, count: u64) {
        self.head.send_modify(|head| head.gaps = count);
    }

    /// Nothing more will come: the lanes may leave when they have settled all there is.
    pub fn finish(&self) {
        self.head.send_modify(|head| head.is_final = true);
    }

    /// Why nothing more fits, if so.
    pub async fn is_full(&mut self) -> Option<String> {
        let fill = match self.store.journal_fill(&self.queue.source).await {
            Ok(fill) => fill,
            // The append will wait for the disk.
            Err(failure) => {
                debug!(source = %self.queue.source, error = %failure, "cannot look at the journal");
                return None;
            }
        };
        self.judge(fill)?;
        let backlog = self.make_room().await.unwrap_or(fill);
        self.judge(backlog)
    }

    /// What is merely kept gives way. What is settled but young is not in the way: only polls let it go.
    async fn make_room(&self) -> Option<Fill> {
        self.trim_to(Duration::ZERO).await;
        self.store.journal_backlog(&self.queue.source, &self.sinks).await.ok()
    }

    fn judge(&mut self, fill: Fill) -> Option<String> {
        let (bytes, max) = (fill.bytes, self.limits.max_size);
        let age_ms = fill.oldest_ms.map_or(0, |oldest_ms| wall_clock::now_ms().saturating_sub(oldest_ms));
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        let way_out = "mend the sink that `b24relay status` shows behind the others, remove it from the configuration and `run --forget` it, or raise the bound";
        if bytes >= max {
            return Some(format!(
                "the journal is full ({bytes} bytes, `journal.max_size` is {max}): {way_out}"
            ));
        }
        if age > self.limits.max_age {
            let hours = age.as_secs() / 3600;
            return Some(format!(
                "the journal's oldest event has waited for {hours} hours, longer than `journal.max_age`: {way_out}"
            ));
        }
        let is_nearly_full = bytes > max / 100 * WARNING_PERCENT || age > self.limits.max_age / 100 * 80;
        if is_nearly_full && !self.is_nearly_full {
            warn!(source = %self.queue.source, bytes, max, hours = age.as_secs() / 3600, way_out, "the journal is nearly full: then polling stops");
        }
        self.is_nearly_full = is_nearly_full;
        None
    }

    async fn trim(&mut self) {
        if self.trimmed_at.is_some_and(|at| at.elapsed() < TRIM_INTERVAL) {
            return;
        }
        self.trimmed_at = Some(Instant::now());
        self.trim_to(self.limits.keep).await;
    }

    /// Deletes settled events that have been kept for `keep`.
    async fn trim_to(&self, keep: Duration) {
        for _ in 0..TRIMS_MAX {
            match self.store.trim_journal(&self.queue.source, &self.sinks, keep).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(failure) => {
                    debug!(source = %self.queue.source, error = %failure, "cannot trim the journal");
                    break;
                }
            }
        }
    }
}

/// One lane's side of its source's journal.
pub struct Feeder {
    queue: Arc<Queue>,
    lane: Lane,
    store: Store,
    signals: Signals,
    until: Until,
    disk: Disk,
    head: watch::Receiver<Head>,
}

impl Feeder {
    /// Has the lane settle what the journal holds and will hold, until the run is over.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn run(mut self) -> Result<Ending, RelayError> {
        loop {
            let Some((head, chunk)) = self.read_enough().await? else { return Ok(self.cut_short()) };
            if self.announce(head.gaps).await? == Settled::CutShort {
                return Ok(self.cut_short());
            }
            let before = self.lane.checkpoint().clone();
            let complete = complete(&chunk, head.floor);
            if self.lane.settle(&chunk.events, complete, head.confirmed).await? == Settled::CutShort {
                return Ok(self.cut_short());
            }
            if self.signals.stop.is_cancelled() {
                return Ok(if chunk.is_last { Ending::Clean } else { self.cut_short() });
            }
            if !chunk.is_last && *self.lane.checkpoint() != before {
                continue;
            }
            if chunk.is_last && head.is_final {
                return Ok(Ending::Clean);
            }
            self.wait().await;
        }
    }

    /// What is to be settled next, and what the head was before it was read: as many events as the sink wants
    /// to have at once, or what there is after it has waited for them.
    async fn read_enough(&mut self) -> Result<Option<(Head, Chunk)>, RelayError> {
        let (count, wait) = self.lane.batch().map_or((1, Duration::ZERO), |batch| (batch.events, batch.wait));
        let deadline = Instant::now() + wait;
        loop {
            // Looked at before reading: what is appended meanwhile wakes us again.
            let head = self.head.borrow_and_update().clone();
            let Some(chunk) = self.read().await? else { return Ok(None) };
            let is_enough = !chunk.is_last || chunk.events.len() >= usize::from(count);
            if chunk.events.is_empty() || is_enough || head.is_final || Instant::now() >= deadline {
                return Ok(Some((head, chunk)));
            }
            tokio::select! {
                biased;
                () = self.signals.stop.cancelled() => return Ok(Some((head, chunk))),
                () = sleep_until(deadline) => {}
                changed = self.head.changed() => if changed.is_err() { return Ok(Some((head, chunk))) },
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Chunk>, RelayError> {
        let (store, queue, checkpoint) = (&self.store, &self.queue, self.lane.checkpoint());
        self.disk.persist("journal", move || store.read_journal(queue, checkpoint)).await
    }

    async fn announce(&mut self, count: u64) -> Result<Settled, RelayError> {
        if self.lane.gaps() >= count {
            return Ok(Settled::All);
        }
        let (store, source, known) = (&self.store, &self.queue.source, self.lane.gaps());
        let read = self.disk.persist("journal", move || store.gaps_after(source, known));
        let Some(gaps) = read.await? else { return Ok(Settled::CutShort) };
        for gap in gaps {
            let Some(event) = gap_event(&self.queue, &gap) else { continue };
            if self.lane.announce(&event, gap.number).await? == Settled::CutShort {
                return Ok(Settled::CutShort);
            }
        }
        Ok(Settled::All)
    }

    /// Until something is appended, or a stop is asked for.
    async fn wait(&mut self) {
        tokio::select! {
            biased;
            () = self.signals.stop.cancelled() => {}
            // The writer is gone when the poll loop has failed, which ends the run.
            changed = self.head.changed() => if changed.is_err() { self.signals.stop.cancelled().await },
        }
    }

    /// What is left is in the journal, so a daemon has nothing to regret; a drain was to leave nothing.
    fn cut_short(&self) -> Ending {
        match self.until {
            Until::Stopped => Ending::Clean,
            Until::Drained => Ending::CutShort,
        }
    }
}

/// Below which offset `chunk` is all there will ever be, when nothing else is appended below `floor`.
fn complete(chunk: &Chunk, floor: Offset) -> Offset {
    match chunk.events.last() {
        Some(last) if !chunk.is_last => last.id.next().min(floor),
        _ => floor,
    }
}

/// Says that polling stops, and that it goes on: each once.
#[derive(Default)]
pub struct FullNotice {
    is_given: bool,
}

impl FullNotice {
    pub fn full(&mut self, source: &str, reason: &str) {
        if !self.is_given {
            error!(
                source,
                reason, "polling stops: nothing is dropped, the portal keeps what comes for 24 hours"
            );
        }
        self.is_given = true;
    }

    pub fn over(&mut self, source: &str) {
        if self.is_given {
            info!(source, "the journal has room again: polling goes on");
        }
        self.is_given = false;
    }
}
