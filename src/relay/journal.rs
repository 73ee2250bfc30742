//! The journal of one source. Polls append events to it durably, and lanes read it at their own pace.
//!
//! Keeps I3: an append is on disk before the portal is asked for anything later. [`Journal`] is the polling side,
//! [`Reader`] is the side of one lane. At the head a lane reads from memory, behind the head from the state file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::config::JournalConfig;
use crate::event::Seq;
use crate::event::{Entry, Event, Queue};
use crate::failpoint;
use crate::log_code;
use crate::relay::context::EngineContext;
use crate::relay::context::WARNING_PERCENT;
use crate::relay::outcome::Halt;
use crate::relay::state_retry::Disk;
use crate::store::{Append, Reading, Store};
use crate::wall_clock;

/// How often settled events are deleted.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);

/// How many trims there may be in a row: polling waits for them.
const TRIMS_MAX: u32 = 20;

/// Approximate memory that an event takes besides its payload, in bytes.
const ENTRY_BYTES: usize = 300;

/// The end of the journal, as the lanes see it.
#[derive(Clone, Debug)]
struct Head {
    /// The sequence number of the next event.
    end: Seq,
    /// The most recent events, without holes up to the end.
    recent: VecDeque<Arc<Entry>>,
    recent_bytes: usize,
    /// Nothing more will be appended.
    is_final: bool,
}

/// The progress of one lane, as the disk knows it.
struct LaneProgress {
    sink: String,
    committed: watch::Receiver<Seq>,
}

/// Why a journal accepts no more events.
pub(super) struct Full {
    /// The configured sink that is furthest behind, unless a removed sink is further behind.
    pub sink: Option<String>,
    /// The reason and the hint, for the operator.
    pub reason: String,
}

/// The polling side of one source's journal.
pub(super) struct Journal {
    queue: Arc<Queue>,
    limits: JournalConfig,
    /// How many bytes this source may have in the journal.
    share: u64,
    /// How many bytes of events may be in memory for the lanes.
    memory: usize,
    store: Store,
    disk: Disk,
    head: watch::Sender<Head>,
    lanes: Vec<LaneProgress>,
    /// The first event that some removed sink (no longer configured) has not settled, if there is such a sink. Events
    /// from there on are kept.
    removed: Option<Seq>,
    bytes: u64,
    trimmed_at: Option<Instant>,
    is_nearly_full: bool,
}

impl Journal {
    /// Creates the journal of `queue`, which takes `bytes` on disk and ends before `end`. Events from `removed` on are
    /// kept for sinks that are no longer configured.
    pub(super) fn new(
        queue: &Arc<Queue>,
        end: Seq,
        bytes: u64,
        removed: Option<Seq>,
        context: &EngineContext,
    ) -> Self {
        let head = Head { end, recent: VecDeque::new(), recent_bytes: 0, is_final: false };
        Self {
            queue: Arc::clone(queue),
            limits: context.delivery.journal,
            share: context.shares.journal,
            memory: context.shares.memory,
            store: context.store.clone(),
            disk: context.disk(),
            head: watch::Sender::new(head),
            lanes: Vec::new(),
            removed,
            bytes,
            trimmed_at: None,
            is_nearly_full: false,
        }
    }

    /// Creates the reader of the lane of `sink`, whose commits are visible at `committed`.
    pub(super) fn reader(&mut self, sink: &str, committed: watch::Receiver<Seq>) -> Reader {
        let cursor = *committed.borrow();
        self.lanes.push(LaneProgress { sink: sink.to_owned(), committed });
        Reader {
            queue: Arc::clone(&self.queue),
            store: self.store.clone(),
            disk: self.disk.clone(),
            head: self.head.subscribe(),
            cursor,
            memory: self.memory,
        }
    }

    /// The sequence number of the next event.
    pub(super) fn end(&self) -> Seq {
        self.head.borrow().end
    }

    /// Every configured sink has settled all events before this sequence number.
    pub(super) fn delivered(&self) -> Seq {
        let committed = self.lanes.iter().map(|lane| *lane.committed.borrow());
        committed.min().unwrap_or_else(|| self.end())
    }

    /// The configured sink that is furthest behind, if any is behind.
    pub(super) fn last_sink(&self) -> Option<&str> {
        let last = self.lanes.iter().min_by_key(|lane| *lane.committed.borrow())?;
        (*last.committed.borrow() < self.end()).then_some(last.sink.as_str())
    }

    /// Waits until every configured sink has settled everything. Returns [`Halt::Stopped`] when a lane ends before that.
    pub(super) async fn wait_delivered(&self) -> Result<(), Halt> {
        let end = self.end();
        for lane in &self.lanes {
            let mut committed = lane.committed.clone();
            if committed.wait_for(|committed| *committed >= end).await.is_err() {
                return Err(Halt::Stopped);
            }
        }
        Ok(())
    }

    /// Makes `events` durable, together with how far the source has read.
    pub(super) async fn append(&mut self, events: Vec<Event>, reading: &Reading) -> Result<(), Halt> {
        let generation = reading.generation;
        let queue = match generation {
            1 => Arc::clone(&self.queue),
            _ => Arc::new(Queue::of_generation(&self.queue.source, &self.queue.identity, generation)),
        };
        let events: Vec<Event> =
            events.into_iter().map(|event| Event { queue: Arc::clone(&queue), ..event }).collect();
        let append = Arc::new(Append { events, reading: reading.clone() });
        failpoint::reached("appending");
        let (store, source) = (&self.store, &self.queue.source);
        let appended = self.disk.persist("journal", || store.append(source, Arc::clone(&append)));
        let bytes = appended.await?;
        failpoint::reached("appended");
        self.bytes += bytes;
        let events =
            Arc::try_unwrap(append).map_or_else(|shared| shared.events.clone(), |append| append.events);
        self.publish(events, reading.next);
        Ok(())
    }

    /// Appends the event that tells sinks of the gap `number`, unless that was done before. No queue of the portal
    /// contains such an event.
    pub(super) async fn tell_gap(&mut self, number: u64) -> Result<(), Halt> {
        let (store, source, queue) = (&self.store, &self.queue.source, &self.queue);
        let told = self.disk.persist("gap", || store.tell_gap(queue, number));
        let told = told.await?;
        debug!(%source, number, "gap told");
        if let Some((event, bytes)) = told {
            self.bytes += bytes;
            self.publish(vec![event], self.end().next());
        }
        Ok(())
    }

    /// Publishes durable events to the lanes.
    fn publish(&self, events: Vec<Event>, end: Seq) {
        let memory = self.memory;
        self.head.send_modify(|head| {
            let first = head.end;
            for (place, event) in events.into_iter().enumerate() {
                let entry = Entry { seq: first.plus(place), event };
                head.recent_bytes += size(&entry);
                head.recent.push_back(Arc::new(entry));
            }
            head.end = end;
            while head.recent_bytes > memory {
                let Some(oldest) = head.recent.pop_front() else { break };
                head.recent_bytes -= size(&oldest);
            }
        });
    }

    /// Wakes the lanes, because the portal has reported its time.
    pub(super) fn wake(&self) {
        self.head.send_modify(|_| {});
    }

    /// Marks the journal as complete: lanes end once they have settled everything in it.
    pub(super) fn finish(&self) {
        self.head.send_modify(|head| head.is_final = true);
    }

    /// Why the journal accepts no more events, if so. The portal no longer has the events before `open`.
    pub(super) async fn is_full(&mut self, open: Seq) -> Option<Full> {
        if self.bytes >= self.share {
            // Delete the events that are kept only because of `journal.keep`.
            self.trim_to(open, Duration::ZERO).await;
        }
        let (bytes, max) = (self.bytes, self.share);
        let needed = self.needed();
        // The portal still has all remaining events. Only polls can confirm them, so polling must go on.
        if needed == self.end() {
            return None;
        }
        let oldest_ms = self.received_ms(needed).await;
        let age_ms = oldest_ms.map_or(0, |oldest_ms| wall_clock::now_ms().saturating_sub(oldest_ms));
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        let hint = "mend the sink that `b24relay status` shows behind the others, remove it from the configuration and `run --forget` it, or raise the bound";
        if bytes >= max {
            return Some(self.full(format!(
                "the journal is full ({bytes} bytes, the source's share of `journal.max_size` is {max}): {hint}"
            )));
        }
        if age > self.limits.max_age {
            let hours = age.as_secs() / 3600;
            return Some(self.full(format!(
                "the journal's oldest event has waited for {hours} hours, longer than `journal.max_age`: {hint}"
            )));
        }
        let is_nearly_full = bytes > max / 100 * WARNING_PERCENT || age > self.limits.max_age * 4 / 5;
        if is_nearly_full && !self.is_nearly_full {
            warn!(code = %log_code::JOURNAL_NEARLY_FULL, source = %self.queue.source, bytes, max, hours = age.as_secs() / 3600, hint, "the journal is nearly full: when it is full, polling stops");
        }
        self.is_nearly_full = is_nearly_full;
        None
    }

    fn full(&self, reason: String) -> Full {
        let is_removed = self.removed.is_some_and(|removed| removed < self.delivered());
        let sink = self.last_sink().filter(|_| !is_removed).map(str::to_owned);
        Full { sink, reason }
    }

    /// Deletes events that every sink has settled, that the portal no longer has, and that have been kept for long
    /// enough.
    pub(super) async fn trim(&mut self, open: Seq) {
        if self.trimmed_at.is_some_and(|at| at.elapsed() < TRIM_INTERVAL) {
            return;
        }
        self.trimmed_at = Some(Instant::now());
        self.trim_to(open, self.limits.keep).await;
    }

    /// The first event that some sink has not settled, removed sinks included.
    fn needed(&self) -> Seq {
        self.removed.map_or(self.delivered(), |removed| removed.min(self.delivered()))
    }

    async fn trim_to(&mut self, open: Seq, keep: Duration) {
        let below = self.needed().min(open);
        let mut trimmed = 0;
        for _ in 0..TRIMS_MAX {
            match self.store.trim_journal(&self.queue.source, below, keep).await {
                Ok((0, _)) => break,
                Ok((_, bytes)) => {
                    trimmed += bytes;
                    self.bytes = self.bytes.saturating_sub(bytes);
                }
                Err(failure) => {
                    debug!(source = %self.queue.source, error = %failure, "cannot trim the journal");
                    break;
                }
            }
        }
        // Keep as much free space as was deleted now: that much will be written until the next trim if events keep
        // coming at this rate.
        for _ in 0..TRIMS_MAX {
            match self.store.shrink(trimmed).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => {
                    debug!(source = %self.queue.source, error = %failure, "cannot shrink the state file");
                    break;
                }
            }
        }
    }

    /// When the event at `seq` was received, in Unix milliseconds. Returns `None` when the state file cannot be read:
    /// then the append will wait for the disk.
    async fn received_ms(&self, seq: Seq) -> Option<i64> {
        match self.store.received_ms(&self.queue.source, seq).await {
            Ok(received_ms) => received_ms,
            Err(failure) => {
                debug!(source = %self.queue.source, error = %failure, "cannot look at the journal");
                None
            }
        }
    }
}

/// Approximate memory that an entry takes, in bytes.
pub(super) fn size(entry: &Entry) -> usize {
    entry.event.data.get().len() + ENTRY_BYTES
}

/// One lane's side of its source's journal.
pub(super) struct Reader {
    queue: Arc<Queue>,
    store: Store,
    disk: Disk,
    head: watch::Receiver<Head>,
    /// The next event to read.
    cursor: Seq,
    /// About how many bytes one read from the file returns.
    memory: usize,
}

impl Reader {
    /// Whether there are events that were not read yet.
    pub(super) fn has_more(&self) -> bool {
        self.cursor < self.head.borrow().end
    }

    /// Whether everything was read and nothing more will be appended.
    pub(super) fn is_final(&self) -> bool {
        let head = self.head.borrow();
        head.is_final && self.cursor >= head.end
    }

    /// Whether nothing more will be appended. Some events may not have been read yet.
    pub(super) fn is_finished(&self) -> bool {
        self.head.borrow().is_final
    }

    /// About how many bytes of events the lane may hold.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Moves the reader back to `cursor`, if that is earlier.
    pub(super) fn go_back_to(&mut self, cursor: Seq) {
        self.cursor = self.cursor.min(cursor);
    }

    /// Reads the next events.
    pub(super) async fn read(&mut self) -> Result<Vec<Arc<Entry>>, Halt> {
        match self.recent() {
            Some(entries) => Ok(entries),
            None => self.read_file().await,
        }
    }

    /// Reads from memory. Returns `None` when the memory does not reach back to the cursor.
    fn recent(&mut self) -> Option<Vec<Arc<Entry>>> {
        let head = self.head.borrow_and_update();
        let first = head.recent.front().map_or(head.end, |first| first.seq);
        if self.cursor < first {
            return None;
        }
        let skipped = usize::try_from(self.cursor.since(first)).unwrap_or(usize::MAX);
        let entries = head.recent.iter().skip(skipped).cloned().collect();
        self.cursor = self.cursor.max(head.end);
        Some(entries)
    }

    async fn read_file(&mut self) -> Result<Vec<Arc<Entry>>, Halt> {
        let (store, queue, cursor, memory) = (&self.store, &self.queue, self.cursor, self.memory);
        let read = self.disk.persist("journal", || store.read_journal(queue, cursor, memory));
        let (entries, end) = read.await?;
        // Never go beyond the published end: those events would come twice.
        let published = self.head.borrow().end;
        self.cursor = if end > cursor { end.min(published) } else { published };
        Ok(entries.into_iter().filter(|entry| entry.seq < published).map(Arc::new).collect())
    }

    /// Waits until something was appended since the last read, or until the journal is complete.
    pub(super) async fn changed(&mut self) {
        // The sender is gone when the poll loop has failed, which ends the run.
        if self.head.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Logs that polling stops, and that it continues, once each.
#[derive(Default)]
pub(super) struct FullNotice {
    is_given: bool,
}

impl FullNotice {
    pub(super) fn full(&mut self, source: &str, reason: &str) {
        if !self.is_given {
            error!(
                code = %log_code::JOURNAL_FULL,
                source,
                reason, "polling stops: nothing is dropped, the portal keeps new events for 24 hours"
            );
        }
        self.is_given = true;
    }

    pub(super) fn over(&mut self, source: &str) {
        if self.is_given {
            info!(source, "the journal has room again: polling goes on");
        }
        self.is_given = false;
    }
}
