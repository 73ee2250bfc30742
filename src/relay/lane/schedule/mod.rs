//! Which events of a lane may be attempted now, and which together. Pure.
//!
//! Keeps G3: an event is not attempted while one that must come before it is unsettled, which is every
//! earlier one (`strict`), every earlier one of its chat (`chat`), or none (`none`). An event that belongs to every
//! chat waits for all earlier ones, and all later ones wait for it.
//!
//! A chat whose event fails holds up no other: events are added all the time, and where those that wait behind a failed
//! one fill the memory they are set aside, to be read again when it is settled.

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

/// So many names of chats are remembered, at least, before those are forgotten of which no event waits.
const NAMES_MAX: usize = 4096;

/// The events of one attempt, ascending, and what became of earlier attempts with them.
pub struct Parcel {
    /// What is to be delivered; never empty while it is attempted.
    pub entries: Vec<Arc<Entry>>,
    /// How often it was attempted.
    pub tries: u32,
    /// How often it was rejected.
    pub rejections: u32,
    /// When it was attempted first, in Unix milliseconds.
    pub first_ms: i64,
    /// The same by a clock that does not jump.
    pub first_at: Instant,
    /// The delays between its attempts.
    pub backoff: Backoff,
    /// How many attempts of the sink had succeeded when it failed last.
    pub successes: Option<u64>,
    /// It waited behind an event that failed.
    pub has_waited: bool,
    chats: BTreeSet<usize>,
    ready_at: Option<Instant>,
    /// The number of its last failure.
    failure: u64,
}

/// How much one parcel holds.
#[derive(Clone, Copy, Debug)]
pub struct ParcelMax {
    /// At most so many events.
    pub events: usize,
    /// At most so many bytes of payload, unless a single event is larger.
    pub bytes: u64,
}

/// What an attempt is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The events.
    Delivery,
    /// To see whether the sink is well again: with an event that is not the one that failed last, if there is one.
    Probe,
}

/// The events of one chat that were not taken yet.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Entry>>,
    /// How many parcels hold earlier ones.
    busy: usize,
    /// One of these has failed.
    has_failed: bool,
    /// Events behind them were let go of, to be read again.
    is_set_aside: bool,
}

/// See the top of this file.
pub struct Schedule {
    ordering: OrderingConfig,
    retry: RetryConfig,
    chats: Chats,
    queues: HashMap<usize, Queue>,
    /// The first events of chats of which no parcel holds any.
    ready: BTreeMap<Seq, usize>,
    /// An event that belongs to every chat, and waits for all others.
    barrier: Option<Arc<Entry>>,
    /// Parcels that failed.
    failed: Vec<Parcel>,
    failures: u64,
    /// What is not settled and not set aside.
    loaded: BTreeSet<Seq>,
    bytes: usize,
    /// How many events no parcel holds.
    fresh: usize,
    /// A chat is free that was set aside.
    must_read_again: bool,
}

impl Parcel {
    /// The event that is settled first.
    pub fn first(&self) -> Option<&Arc<Entry>> {
        self.entries.first()
    }

    /// The events, for the sink.
    pub fn events(&self) -> Vec<&Event> {
        self.entries.iter().map(|entry| &entry.event).collect()
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.ready_at.is_none_or(|at| at <= now)
    }
}

impl Schedule {
    /// A schedule without any events.
    pub fn new(ordering: OrderingConfig, retry: RetryConfig) -> Self {
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

    /// Adds an event that comes behind all others of its chat.
    pub fn push(&mut self, entry: Arc<Entry>) {
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
    pub fn holds(&self, seq: Seq) -> bool {
        self.loaded.contains(&seq)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.loaded.is_empty()
    }

    /// How many bytes of events it holds, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether events may be added.
    pub fn is_open(&self) -> bool {
        self.barrier.is_none() && !self.queues.contains_key(&EVERY)
    }

    /// Whether the event of `entry` waits behind one of its chat that has failed.
    pub fn waits_behind_failure(&mut self, entry: &Entry) -> bool {
        let chat = self.chat_of(entry);
        chat.and_then(|chat| self.queues.get(&chat)).is_some_and(|queue| queue.has_failed)
    }

    /// Whether a parcel waits to be repeated.
    pub fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// How many events no attempt was made with.
    pub fn fresh_count(&self) -> usize {
        self.fresh
    }

    /// Whether one of these may be attempted.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether there is something to attempt at `now`.
    pub fn is_ready(&self, now: Instant, purpose: Purpose) -> bool {
        let is_probe = purpose == Purpose::Probe;
        !self.ready.is_empty() || self.failed.iter().any(|parcel| is_probe || parcel.is_ready(now))
    }

    /// When the next of the failed parcels becomes ready that is not ready at `now`.
    pub fn ready_after(&self, now: Instant) -> Option<Instant> {
        self.failed.iter().filter_map(|parcel| parcel.ready_at).filter(|at| *at > now).min()
    }

    /// The lowest of what is to be attempted at `now`; for a probe, what has failed longest ago or never.
    pub fn take(&mut self, now: Instant, max: ParcelMax, purpose: Purpose) -> Option<Parcel> {
        let fresh = self.ready.first_key_value().map(|(seq, _)| *seq);
        if purpose == Purpose::Probe {
            if fresh.is_some() {
                return Some(self.compose(max));
            }
            let oldest = (0..self.failed.len()).min_by_key(|index| self.failed[*index].failure)?;
            return Some(self.failed.swap_remove(oldest));
        }
        let failed = self.failed.iter().enumerate().filter(|(_, parcel)| parcel.is_ready(now));
        let failed = failed.filter_map(|(index, parcel)| Some((parcel.first()?.seq, index))).min();
        match (failed, fresh) {
            (Some((seq, index)), fresh) if fresh.is_none_or(|fresh| seq < fresh) => {
                Some(self.failed.swap_remove(index))
            }
            (_, Some(_)) => Some(self.compose(max)),
            (_, None) => None,
        }
    }

    /// Every failed parcel is attempted as soon as may be.
    pub fn hasten(&mut self) {
        for parcel in &mut self.failed {
            parcel.ready_at = None;
        }
    }

    /// `parcel` is to be attempted again, but not before `ready_at`.
    pub fn repeat(&mut self, mut parcel: Parcel, ready_at: Option<Instant>) {
        self.failures += 1;
        (parcel.ready_at, parcel.failure) = (ready_at, self.failures);
        for chat in parcel.chats.clone() {
            let chat = self.root(chat);
            if let Some(queue) = self.queues.get_mut(&chat) {
                queue.has_failed = true;
            }
        }
        self.failed.push(parcel);
    }

    /// All of `parcel` is settled.
    pub fn settle(&mut self, parcel: &Parcel) {
        for entry in &parcel.entries {
            self.unload(entry);
        }
        for chat in &parcel.chats {
            self.free(*chat);
        }
        self.pass_barrier();
    }

    /// Lets go of what of `parcel` `is_wanted` leaves out, which is settled with that; returns it.
    pub fn retain(&mut self, parcel: &mut Parcel, is_wanted: impl Fn(&Event) -> bool) -> Vec<Arc<Entry>> {
        let (kept, dropped): (Vec<_>, Vec<_>) =
            std::mem::take(&mut parcel.entries).into_iter().partition(|entry| is_wanted(&entry.event));
        parcel.entries = kept;
        for entry in &dropped {
            self.unload(entry);
        }
        dropped
    }

    /// The first half of `parcel` is attempted by itself, the other half anew.
    pub fn halve(&mut self, mut parcel: Parcel) {
        let rest = parcel.entries.split_off(parcel.entries.len().div_ceil(2));
        let chats = std::mem::take(&mut parcel.chats);
        for entry in rest.into_iter().rev() {
            let chat = self.known_chat_of(&entry);
            self.queues.entry(chat).or_default().waiting.push_front(entry);
            self.fresh += 1;
        }
        let kept: BTreeSet<usize> =
            parcel.entries.clone().iter().map(|entry| self.known_chat_of(entry)).collect();
        for chat in &kept {
            self.queues.entry(*chat).or_default().busy += 1;
        }
        for chat in chats {
            self.free(chat);
        }
        parcel.chats = kept;
        // Other events, another request: its attempts count anew.
        (parcel.tries, parcel.rejections) = (0, 0);
        parcel.ready_at = None;
        self.failed.push(parcel);
    }

    /// Lets go of what waits behind failed events, when nothing else is left to attempt: it is read again later.
    pub fn set_aside(&mut self) {
        let failed: Vec<usize> = self.failed.iter().flat_map(|parcel| parcel.chats.iter().copied()).collect();
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

    /// Whether what was set aside is to be read again; asked once.
    pub fn must_read_again(&mut self) -> bool {
        std::mem::take(&mut self.must_read_again)
    }

    fn compose(&mut self, max: ParcelMax) -> Parcel {
        let (mut entries, mut chats, mut bytes) = (Vec::<Arc<Entry>>::new(), BTreeSet::new(), 0);
        let mut has_waited = false;
        while let Some((seq, chat)) = self.ready.first_key_value().map(|(seq, chat)| (*seq, *chat)) {
            let Some(queue) = self.queues.get_mut(&chat) else { break };
            let Some(entry) = queue.waiting.front() else { break };
            bytes += entry.event.data.get().len() as u64;
            // An attempt is made with events of one queue: those of another generation have ids of their own.
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
            // In one parcel with it, what comes after it need not wait.
            if let Some(next) = queue.waiting.front() {
                self.ready.insert(next.seq, chat);
            }
        }
        for chat in &chats {
            if let Some(next) = self.queues.get(chat).and_then(|queue| queue.waiting.front()) {
                self.ready.remove(&next.seq);
            }
        }
        Parcel {
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

    /// One parcel less holds events of `chat`.
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
            // It comes behind what is read again.
            if let Some(entry) = self.barrier.take() {
                self.fresh -= 1;
                self.unload(&entry);
            }
        }
    }

    /// The event that belongs to every chat has its turn when all others are settled.
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
            // Each is a chat of its own.
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

    /// The events of `other` are of `chat`, as an event has shown.
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
