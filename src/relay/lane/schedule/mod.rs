//! Decides which events of a lane may be attempted now, and which together. Pure.
//!
//! Keeps G3: an event is not attempted while an event that must come before it is unsettled.

#[cfg(test)]
mod tests;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::chat::{Chat, Chats};
use crate::config::{OrderingConfig, RetryConfig};
use crate::event::Seq;
use crate::event::{Entry, Event};
use crate::relay::journal::size;
use crate::retry::Backoff;
use crate::wall_clock;

/// The chat of an event that belongs to every chat.
const EVERY: usize = usize::MAX;

/// How many names of chats are remembered. When there are more and no event is waiting, all are forgotten.
const NAMES_MAX: usize = 4096;

/// The events of one attempt in ascending order, and the history of earlier attempts with them.
pub(crate) struct AttemptBatch {
    /// The events to deliver; never empty during an attempt.
    pub entries: Vec<Arc<Entry>>,
    /// How often it was attempted.
    pub tries: u32,
    /// How often it was rejected.
    pub rejections: u32,
    /// When it was first attempted, in Unix milliseconds.
    pub first_ms: i64,
    /// The same moment by a clock that does not jump.
    pub first_at: Instant,
    /// The delays between its attempts.
    pub backoff: Backoff,
    /// How many attempts of the sink had succeeded when it first failed.
    pub successes: Option<u64>,
    /// It waited behind an event that failed.
    pub has_waited: bool,
    chats: BTreeSet<usize>,
    ready_at: Option<Instant>,
    /// The number of its last failure.
    failure: u64,
}

/// The maximum size of an attempt batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimit {
    /// The most events.
    pub events: usize,
    /// The most bytes of payload, unless a single event is larger.
    pub bytes: u64,
}

/// The purpose of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// To deliver its events.
    Delivery,
    /// To see whether the sink has recovered: with an event other than the one that failed last, if there is one.
    Probe,
}

/// The events of one chat that no attempt batch holds yet.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Entry>>,
    /// How many attempt batches hold earlier events.
    busy: usize,
    /// One of these attempt batches has failed.
    has_failed: bool,
    /// Events behind them were dropped, to be read again.
    is_set_aside: bool,
}

/// The events of one lane that wait or are in flight.
///
/// These must come before an event: every earlier one (`strict`), every earlier one of its chat (`chat`), or none
/// (`none`). An event that belongs to every chat waits for all earlier ones, and all later ones wait for it.
///
/// A chat whose event fails delays no other chat. Events are added all the time. When the events that wait behind a
/// failed one fill the memory, they are set aside, and read again when the failed one is settled.
pub(crate) struct Schedule {
    ordering: OrderingConfig,
    retry: RetryConfig,
    chats: Chats,
    queues: HashMap<usize, Queue>,
    /// The first events of those chats that no attempt batch holds events of.
    ready: BTreeMap<Seq, usize>,
    /// An event that belongs to every chat and waits for all others.
    barrier: Option<Arc<Entry>>,
    /// Parcels that failed.
    failed: Vec<AttemptBatch>,
    failures: u64,
    /// The events that are neither settled nor set aside.
    loaded: BTreeSet<Seq>,
    bytes: usize,
    /// How many events are in no attempt batch.
    fresh: usize,
    /// A chat that was set aside is free again.
    must_read_again: bool,
}

impl AttemptBatch {
    /// The first event, which is settled first.
    pub(crate) fn first(&self) -> Option<&Arc<Entry>> {
        self.entries.first()
    }

    /// The events, for the sink.
    pub(crate) fn events(&self) -> Vec<&Event> {
        self.entries.iter().map(|entry| &entry.event).collect()
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.ready_at.is_none_or(|at| at <= now)
    }
}

impl Schedule {
    /// Creates a schedule without events.
    pub(crate) fn new(ordering: OrderingConfig, retry: RetryConfig) -> Self {
        Self {
            ordering,
            retry,
            chats: Chats::default(),
            queues: HashMap::new(),
            ready: BTreeMap::new(),
            barrier: None,
            failed: Vec::new(),
            failures: 0,
            loaded: BTreeSet::new(),
            bytes: 0,
            fresh: 0,
            must_read_again: false,
        }
    }

    /// Adds an event behind all others of its chat.
    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        let Some(chat) = self.chat_of(&entry) else {
            self.load(&entry);
            self.barrier = Some(entry);
            return self.pass_barrier();
        };
        let queue = self.queues.entry(chat).or_default();
        if queue.is_set_aside {
            return;
        }
        if queue.busy == 0 && queue.waiting.is_empty() {
            self.ready.insert(entry.seq, chat);
        }
        queue.waiting.push_back(Arc::clone(&entry));
        self.load(&entry);
    }

    /// Whether it holds the event at `seq`.
    pub(crate) fn holds(&self, seq: Seq) -> bool {
        self.loaded.contains(&seq)
    }

    /// Whether it holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.loaded.is_empty()
    }

    /// About how many bytes of events it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether events may be added.
    pub(crate) fn is_open(&self) -> bool {
        self.barrier.is_none() && !self.queues.contains_key(&EVERY)
    }

    /// Whether the event of `entry` waits behind one of its chat that has failed.
    pub(crate) fn waits_behind_failure(&mut self, entry: &Entry) -> bool {
        let chat = self.chat_of(entry);
        chat.and_then(|chat| self.queues.get(&chat)).is_some_and(|queue| queue.has_failed)
    }

    /// Whether a failed attempt batch waits for another attempt.
    pub(crate) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// How many events are in no attempt batch.
    pub(crate) fn fresh_count(&self) -> usize {
        self.fresh
    }

    /// Whether one of these events may be attempted.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether there is something to attempt at `now`.
    pub(crate) fn is_ready(&self, now: Instant, purpose: Purpose) -> bool {
        let is_probe = purpose == Purpose::Probe;
        !self.ready.is_empty() || self.failed.iter().any(|batch| is_probe || batch.is_ready(now))
    }

    /// When the next failed attempt batch becomes ready that is not ready at `now`.
    pub(crate) fn ready_after(&self, now: Instant) -> Option<Instant> {
        self.failed.iter().filter_map(|batch| batch.ready_at).filter(|at| *at > now).min()
    }

    /// Takes the lowest events to attempt at `now`. A probe takes events that were not attempted yet or, without any,
    /// the attempt batch whose failure is the oldest.
    pub(crate) fn take(&mut self, now: Instant, max: BatchLimit, purpose: Purpose) -> Option<AttemptBatch> {
        let fresh = self.ready.first_key_value().map(|(seq, _)| *seq);
        if purpose == Purpose::Probe {
            if fresh.is_some() {
                return Some(self.compose(max));
            }
            let oldest = (0..self.failed.len()).min_by_key(|index| self.failed[*index].failure)?;
            return Some(self.failed.swap_remove(oldest));
        }
        let failed = self.failed.iter().enumerate().filter(|(_, batch)| batch.is_ready(now));
        let failed = failed.filter_map(|(index, batch)| Some((batch.first()?.seq, index))).min();
        match (failed, fresh) {
            (Some((seq, index)), fresh) if fresh.is_none_or(|fresh| seq < fresh) => {
                Some(self.failed.swap_remove(index))
            }
            (_, Some(_)) => Some(self.compose(max)),
            (_, None) => None,
        }
    }

    /// Makes every failed attempt batch ready now.
    pub(crate) fn retry_now(&mut self) {
        for batch in &mut self.failed {
            batch.ready_at = None;
        }
    }

    /// Schedules another attempt with `batch`, but not before `ready_at`.
    pub(crate) fn repeat(&mut self, mut batch: AttemptBatch, ready_at: Option<Instant>) {
        self.failures += 1;
        (batch.ready_at, batch.failure) = (ready_at, self.failures);
        for chat in batch.chats.clone() {
            let chat = self.root(chat);
            if let Some(queue) = self.queues.get_mut(&chat) {
                queue.has_failed = true;
            }
        }
        self.failed.push(batch);
    }

    /// Notes that all of `batch` is settled.
    pub(crate) fn settle(&mut self, batch: &AttemptBatch) {
        for entry in &batch.entries {
            self.unload(entry);
        }
        for chat in &batch.chats {
            self.free(*chat);
        }
        self.pass_barrier();
    }

    /// Removes the events of `batch` that `is_wanted` excludes, which settles them, and returns them.
    pub(crate) fn retain(
        &mut self,
        batch: &mut AttemptBatch,
        is_wanted: impl Fn(&Event) -> bool,
    ) -> Vec<Arc<Entry>> {
        let (kept, dropped): (Vec<_>, Vec<_>) =
            std::mem::take(&mut batch.entries).into_iter().partition(|entry| is_wanted(&entry.event));
        batch.entries = kept;
        for entry in &dropped {
            self.unload(entry);
        }
        dropped
    }

    /// Splits `batch`: the first half is attempted separately, the other half is scheduled again.
    pub(crate) fn halve(&mut self, mut batch: AttemptBatch) {
        let rest = batch.entries.split_off(batch.entries.len().div_ceil(2));
        let chats = std::mem::take(&mut batch.chats);
        for entry in rest.into_iter().rev() {
            let chat = self.known_chat_of(&entry);
            self.queues.entry(chat).or_default().waiting.push_front(entry);
            self.fresh += 1;
        }
        let kept: BTreeSet<usize> =
            batch.entries.clone().iter().map(|entry| self.known_chat_of(entry)).collect();
        for chat in &kept {
            self.queues.entry(*chat).or_default().busy += 1;
        }
        for chat in chats {
            self.free(chat);
        }
        batch.chats = kept;
        // This is another request with other events, so its attempts are counted from zero.
        (batch.tries, batch.rejections) = (0, 0);
        batch.ready_at = None;
        self.failed.push(batch);
    }

    /// Drops the events that wait behind failed ones, when nothing else is left to attempt. They are read again later.
    pub(crate) fn set_aside(&mut self) {
        let failed: Vec<usize> = self.failed.iter().flat_map(|batch| batch.chats.iter().copied()).collect();
        for chat in failed {
            let chat = self.root(chat);
            let Some(queue) = self.queues.get_mut(&chat) else { continue };
            queue.is_set_aside = true;
            let waiting = std::mem::take(&mut queue.waiting);
            for entry in waiting {
                self.fresh -= 1;
                self.unload(&entry);
            }
        }
    }

    /// Whether the dropped events must be read again. Returns `true` once.
    pub(crate) fn must_read_again(&mut self) -> bool {
        std::mem::take(&mut self.must_read_again)
    }

    fn compose(&mut self, max: BatchLimit) -> AttemptBatch {
        let (mut entries, mut chats, mut bytes) = (Vec::<Arc<Entry>>::new(), BTreeSet::new(), 0);
        let mut has_waited = false;
        while let Some((seq, chat)) = self.ready.first_key_value().map(|(seq, chat)| (*seq, *chat)) {
            let Some(queue) = self.queues.get_mut(&chat) else { break };
            let Some(entry) = queue.waiting.front() else { break };
            bytes += entry.event.data.get().len() as u64;
            // All events of an attempt are from one queue: another generation has different ids.
            let is_other = |first: &Arc<Entry>| first.event.queue.identity != entry.event.queue.identity;
            let is_full = entries.len() >= max.events || bytes > max.bytes;
            if !entries.is_empty() && (is_full || entries.first().is_some_and(is_other)) {
                break;
            }
            self.ready.remove(&seq);
            entries.extend(queue.waiting.pop_front());
            self.fresh -= 1;
            has_waited |= queue.has_failed;
            queue.busy += usize::from(chats.insert(chat));
            // Events of one chat in the same attempt batch need not wait for each other.
            if let Some(next) = queue.waiting.front() {
                self.ready.insert(next.seq, chat);
            }
        }
        for chat in &chats {
            if let Some(next) = self.queues.get(chat).and_then(|queue| queue.waiting.front()) {
                self.ready.remove(&next.seq);
            }
        }
        AttemptBatch {
            entries,
            tries: 0,
            rejections: 0,
            first_ms: wall_clock::now_ms(),
            first_at: Instant::now(),
            backoff: Backoff::jittered(self.retry.min, self.retry.max),
            successes: None,
            has_waited,
            chats,
            ready_at: None,
            failure: 0,
        }
    }

    /// Notes that one attempt batch fewer holds events of `chat`.
    fn free(&mut self, chat: usize) {
        let chat = self.root(chat);
        let Some(queue) = self.queues.get_mut(&chat) else { return };
        queue.busy = queue.busy.saturating_sub(1);
        if queue.busy > 0 {
            return;
        }
        let was_set_aside = std::mem::take(&mut queue.is_set_aside);
        match queue.waiting.front() {
            Some(next) => {
                self.ready.insert(next.seq, chat);
            }
            None => {
                self.queues.remove(&chat);
            }
        }
        if was_set_aside {
            self.must_read_again = true;
            // It comes behind the events that are read again.
            if let Some(entry) = self.barrier.take() {
                self.fresh -= 1;
                self.unload(&entry);
            }
        }
    }

    /// Lets the event that belongs to every chat proceed once all others are settled.
    fn pass_barrier(&mut self) {
        if self.loaded.is_empty() && self.chats.count() > NAMES_MAX && self.queues.is_empty() {
            self.chats = Chats::default();
        }
        if self.loaded.len() == 1
            && let Some(entry) = self.barrier.take()
        {
            self.ready.insert(entry.seq, EVERY);
            self.queues.entry(EVERY).or_default().waiting.push_back(entry);
        }
    }

    fn load(&mut self, entry: &Entry) {
        self.fresh += 1;
        self.loaded.insert(entry.seq);
        self.bytes += size(entry);
    }

    fn unload(&mut self, entry: &Entry) {
        self.loaded.remove(&entry.seq);
        self.bytes = self.bytes.saturating_sub(size(entry));
    }

    /// The chat of an event; `None` when it belongs to every chat.
    fn chat_of(&mut self, entry: &Entry) -> Option<usize> {
        match self.ordering {
            // Each event counts as a separate chat.
            OrderingConfig::None => usize::try_from(entry.seq.get()).ok(),
            OrderingConfig::Strict => Some(0),
            OrderingConfig::Chat => match self.chats.of(&entry.event) {
                Chat::Every => None,
                Chat::Of(chat, joined) => {
                    if let Some(other) = joined {
                        self.join(other, chat);
                    }
                    Some(chat)
                }
            },
        }
    }

    fn known_chat_of(&mut self, entry: &Entry) -> usize {
        self.chat_of(entry).unwrap_or(EVERY)
    }

    /// Merges the events of `other` into `chat`, because an event has shown that both are one chat.
    fn join(&mut self, other: usize, chat: usize) {
        let Some(other) = self.queues.remove(&other) else { return };
        let queue = self.queues.entry(chat).or_default();
        for entry in queue.waiting.iter().chain(&other.waiting) {
            self.ready.remove(&entry.seq);
        }
        queue.waiting.extend(other.waiting);
        queue.waiting.make_contiguous().sort_by_key(|entry| entry.seq);
        queue.busy += other.busy;
        queue.has_failed |= other.has_failed;
        queue.is_set_aside |= other.is_set_aside;
        if let Some(next) = queue.waiting.front().filter(|_| queue.busy == 0) {
            self.ready.insert(next.seq, chat);
        }
    }

    fn root(&mut self, chat: usize) -> usize {
        match self.ordering {
            OrderingConfig::Chat if chat != EVERY => self.chats.root(chat),
            _ => chat,
        }
    }
}
