//! The confirm window: the events that were read and that the portal may still have. Pure.
//!
//! Keeps I2: an event leaves the portal's queue only when it is in the journal.

#[cfg(test)]
mod tests;
use std::collections::BTreeMap;
use std::time::Duration;

use b24_client::EVENT_LIFETIME;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config::Hold;
use crate::event::Seq;
use crate::event::{Batch, Entry, Event, EventId, Offset};
use crate::relay::clock::PortalClock;
use crate::store::Reading;

/// How many ids the window may hold: more would keep a poll from showing new events.
const IDS_MAX: usize = 300;

/// How long the oldest ids stay even then, because lower ids may become visible late. This slows down the reading of a
/// burst.
const SURPLUS_LAG: Duration = Duration::from_secs(2);

/// How many of the events that have left the window are remembered.
const MARKS_MAX: usize = 64;

/// Events are dated in whole seconds: one may be this much younger than its date says.
const DATE_RESOLUTION: Duration = Duration::from_secs(1);

/// How far the dates and the clock of a portal may differ unnoticed: they need not come from one machine.
const DATE_DOUBT: Duration = Duration::from_secs(10);

/// How much later than its date an event may become visible without its date being odd, besides the lag.
const DATE_TOLERANCE: Duration = Duration::from_secs(2);

/// Identifies an event, besides its id: its date in Unix milliseconds, if it has one, and a checksum.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mark(Option<i64>, u64);

impl Mark {
    fn of(event: &Event) -> Self {
        let around = crc32fast::hash(format!("{}{}", event.kind, event.date.get()).as_bytes());
        let data = crc32fast::hash(event.data.get().as_bytes());
        Self(event.date_ms(), u64::from(around) << 32 | u64::from(data))
    }

    /// Whether both may belong to one event. An event that was damaged on its way still has the same date.
    fn may_be(self, other: Self) -> bool {
        match (self.0, other.0) {
            (Some(date_ms), Some(other_ms)) => date_ms == other_ms,
            (None, None) => self.1 == other.1,
            (Some(_), None) | (None, Some(_)) => true,
        }
    }
}

/// One event in the window.
#[derive(Clone, Copy)]
struct Held {
    seq: Seq,
    mark: Mark,
    read_at: Instant,
    /// Its date by the portal's clock; `None` when the date cannot be relied on.
    date_ms: Option<i64>,
    /// An earlier run has read it, and no answer has shown it since.
    is_of_before: bool,
    /// It was read before the portal was restored, and the restored portal has it as well.
    is_older: bool,
}

/// The events of one queue that were read and may still be at the portal.
///
/// The offset that is sent is derived from ids that the last answer has shown. After anything longer than an ordinary
/// pause the next poll confirms nothing, so a portal that was restored meanwhile loses nothing. A restore within such
/// a pause could not be detected in time.
///
/// The portal assigns an id before the event becomes visible, so a higher id may be read first. Confirming that one
/// would destroy the lower one unseen (PORTAL.md 2.9, hazard 2). So an id is confirmed only when it is older than
/// `confirm_lag`, and a poll that was sent afterwards has shown all ids below it. An id that becomes visible even later
/// is an ordinary new event.
///
/// A portal that was restored from a backup assigns numbers again. The window remembers every event in it and the last
/// ones before it. They prove a restore when the same id has another date, or when a new id below known ones has a
/// later date than theirs. The queue then begins its next generation.
pub(crate) struct ConfirmWindow {
    lag: Duration,
    hold: Hold,
    held: BTreeMap<EventId, Held>,
    /// The last events that have left the window. [`Reading::marks`] records them, and the events from before a restore
    /// that are still in it.
    left: BTreeMap<EventId, Mark>,
    reading: Reading,
    /// All ids up to this one are old enough, and a poll has shown them since.
    grown: Option<EventId>,
    /// The highest id that the last answer has shown.
    shown_to: Option<EventId>,
    /// The highest offset that was sent and not answered yet.
    sent: Offset,
    /// The next poll confirms nothing, because the portal may have been restored.
    only_looks: bool,
    has_odd_dates: bool,
    /// When the last answered poll was sent.
    asked_at: Option<Instant>,
    /// When the last poll that read the queue to its end was sent.
    emptied_at: Option<Instant>,
}

/// The result of a poll.
#[derive(Debug, Default)]
pub(crate) struct WindowView {
    /// The events that were not read before.
    pub fresh: Vec<Event>,
    /// How many events were read before, are not confirmed, and have disappeared.
    pub stolen: u64,
    /// The portal's dates contradict its clock, for the first time.
    pub are_dates_odd: bool,
    /// The proof that the portal was restored and assigns its ids again.
    pub restored: Option<String>,
}

impl ConfirmWindow {
    /// Creates the window of a source that has read up to `reading`. The portal may still have the events in `open`.
    pub(crate) fn new(
        lag: Duration,
        hold: Hold,
        reading: Reading,
        open: &[Entry],
        has_odd_dates: bool,
    ) -> Self {
        let now = Instant::now();
        let mut left: BTreeMap<EventId, Mark> = read_marks(&reading.marks).into_iter().collect();
        let shown_before = |entry: &Entry| {
            let (id, mark) = (entry.event.id, Mark::of(&entry.event));
            let is_older = entry.event.queue.generation() < reading.generation;
            // An event that a restored portal lacks is in the journal only.
            let is_there = !is_older || left.get(&id).is_some_and(|known| known.may_be(mark));
            let (seq, read_at) = (entry.seq, now);
            is_there.then_some((id, Held { seq, mark, read_at, date_ms: None, is_of_before: true, is_older }))
        };
        let before: BTreeMap<EventId, Held> = open.iter().filter_map(shown_before).collect();
        left.retain(|id, _| !before.contains_key(id));
        Self {
            lag,
            hold,
            held: before,
            left,
            grown: EventId::try_new(reading.grown),
            reading,
            shown_to: None,
            sent: Offset::START,
            only_looks: true,
            has_odd_dates,
            asked_at: None,
            emptied_at: None,
        }
    }

    /// Moves the next event to `next`, because something else was appended.
    pub(crate) fn go_on_at(&mut self, next: Seq) {
        self.reading.next = next;
    }

    /// How far the source has read.
    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The lowest sequence number in the window, or the next one.
    pub(crate) fn open(&self) -> Seq {
        self.held.values().map(|held| held.seq).min().unwrap_or(self.reading.next)
    }

    /// How many events a poll from `offset` will return again.
    pub(crate) fn count_from(&self, offset: Offset) -> usize {
        self.held.range(offset.first_wanted()..).count()
    }

    /// The offset to poll from: above all ids that the portal may forget, among the events before `end`. Every sink has
    /// settled the events before `delivered`.
    pub(crate) fn offset(&self, delivered: Seq, end: Seq) -> Offset {
        if self.only_looks {
            return Offset::START;
        }
        let is_settled = |held: &Held| {
            held.seq < delivered || matches!(self.hold, Hold::For(hold) if held.read_at.elapsed() >= hold)
        };
        let is_grown = |id: EventId| self.grown.is_some_and(|grown| id <= grown);
        let is_shown = |id: EventId, held: &Held| {
            let is_later = |asked_at: Instant| asked_at >= held.read_at + self.surplus_lag();
            self.shown_to.is_some_and(|shown_to| id <= shown_to) && self.asked_at.is_some_and(is_later)
        };
        let surplus = self.held.len().saturating_sub(IDS_MAX);
        let mut offset = self.reading.floor;
        for (place, (id, held)) in self.held.iter().enumerate() {
            let is_surplus = place < surplus && is_shown(*id, held);
            let is_released = match self.hold {
                Hold::For(_) => is_surplus || is_grown(*id) && is_settled(held),
                Hold::Forever => is_settled(held) && (is_grown(*id) || is_surplus),
            };
            if !is_released || held.seq >= end {
                break;
            }
            offset = offset.max(id.next());
        }
        offset
    }

    /// Notes that a poll from `offset` is about to be sent.
    pub(crate) fn send(&mut self, offset: Offset) {
        self.sent = self.sent.max(offset);
    }

    /// Notes that no answer came, or a refusal: the portal may have been restored when it is back.
    pub(crate) fn doubt(&mut self) {
        self.only_looks = true;
    }

    /// The longest time until a poll will allow more to be confirmed; zero when nothing prevents it.
    pub(crate) fn rises_in(&self) -> Duration {
        let behind = self.held.iter().filter(|(id, _)| self.grown.is_none_or(|grown| **id > grown));
        let since = behind.map(|(_, held)| held.read_at).min();
        let lag = if self.held.len() > IDS_MAX { self.surplus_lag() } else { self.lag };
        since.map_or(Duration::ZERO, |since| lag.saturating_sub(since.elapsed()))
    }

    /// How long an id stays in the window at least, however many there are.
    fn surplus_lag(&self) -> Duration {
        self.lag.min(SURPLUS_LAG)
    }

    /// The highest id in the window.
    pub(crate) fn highest(&self) -> Option<EventId> {
        self.held.keys().next_back().copied()
    }

    /// Whether no unread event could appear up to `id`, which was read at `read_at`, when the last poll was sent.
    pub(crate) fn has_grown_to(&self, id: EventId, read_at: Instant) -> bool {
        let is_old = self.asked_at.is_some_and(|asked_at| asked_at >= read_at + self.lag);
        is_old || self.grown.is_some_and(|grown| id <= grown)
    }

    /// Records `batch`, the answer to a poll from `offset` that was sent at `asked_at`. The fresh events are the next
    /// ones of the journal.
    pub(crate) fn read(
        &mut self,
        batch: Batch,
        offset: Offset,
        asked_at: Instant,
        clock: &PortalClock,
    ) -> WindowView {
        let portal_ms = clock.now_ms();
        let mut shown = WindowView { restored: self.proof_of_restore(&batch), ..WindowView::default() };
        let stolen = self.let_go(&batch, offset, portal_ms);
        match &shown.restored {
            Some(_) => self.begin_generation(&batch),
            None => shown.stolen = stolen,
        }
        let (end, has_more, is_cut) = (batch.next(), batch.has_more, batch.cut_at.is_some());
        // Unless the queue was seen empty before, the young events are at its end.
        let is_reliable = has_more && !is_cut || self.emptied_at.is_some();
        for event in batch.events {
            if let Some(held) = self.held.get_mut(&event.id) {
                held.is_of_before = false;
                continue;
            }
            if self.left.contains_key(&event.id) || !self.reading.floor.wants(event.id) {
                continue;
            }
            let mark = Mark::of(&event);
            shown.are_dates_odd |= self.contradicts(mark.0, portal_ms);
            let date_ms = mark.0.filter(|_| is_reliable);
            let (seq, read_at) = (self.reading.next, Instant::now());
            let held = Held { seq, mark, read_at, date_ms, is_of_before: false, is_older: false };
            self.held.insert(event.id, held);
            self.reading.next = self.reading.next.next();
            shown.fresh.push(event);
        }
        shown.are_dates_odd &= !self.has_odd_dates;
        self.has_odd_dates |= shown.are_dates_odd;
        self.grow(end.filter(|_| has_more), asked_at, clock.at(asked_at));
        self.asked_at = Some(asked_at);
        self.emptied_at = if has_more { None } else { Some(asked_at) };
        self.shown_to = end.map(|end| end.get() - 1).and_then(EventId::try_new);
        (self.only_looks, self.sent) = (false, Offset::START);
        self.reading.open = self.open();
        self.reading.grown = self.grown.map_or(0, EventId::get);
        self.reading.marks = self.marks_text();
        shown
    }

    /// Removes the events that the portal has forgotten at our request, and the events that should be in `batch` but
    /// are not. Returns how many of them were not confirmed by us. Events that the portal deletes on its own do not
    /// count.
    fn let_go(&mut self, batch: &Batch, offset: Offset, portal_ms: i64) -> u64 {
        let last = batch.events.last().map(|event| event.id);
        let is_within = |id: EventId| !batch.has_more || last.is_some_and(|last| id <= last);
        let is_there = |id: EventId| batch.events.binary_search_by_key(&id, |event| event.id).is_ok();
        let is_gone = |id: EventId| !offset.wants(id) || is_within(id) && !is_there(id);
        let gone: Vec<EventId> = self.held.keys().copied().filter(|id| is_gone(*id)).collect();
        let mut stolen = 0;
        for id in gone {
            let Some(held) = self.held.remove(&id) else { continue };
            if !self.sent.wants(id) {
                // No answer came, but the portal has carried out the request.
                self.reading.confirmed = self.reading.confirmed.max(self.sent);
            }
            self.left.insert(id, held.mark);
            let age_ms = held.mark.0.map_or(0, |date_ms| portal_ms.saturating_sub(date_ms));
            let is_alive = age_ms.max(millis(held.read_at.elapsed())) < millis(EVENT_LIFETIME);
            // The offsets that an earlier run has sent are not known.
            stolen += u64::from(self.sent.wants(id) && !held.is_of_before && is_alive);
        }
        while self.left.len() > MARKS_MAX {
            self.left.pop_first();
        }
        if offset > Offset::START {
            self.reading.confirmed = self.reading.confirmed.max(offset);
        }
        if self.reading.floor <= offset {
            self.reading.floor = Offset::START;
        }
        stolen
    }

    /// The proof that the portal was restored, if there is one.
    fn proof_of_restore(&self, batch: &Batch) -> Option<String> {
        batch.events.iter().find_map(|event| {
            let (id, mark) = (event.id, Mark::of(event));
            match self.mark_of(id) {
                Some(known) if known.may_be(mark) => None,
                Some(_) => Some(format!("event {id} is another one than before")),
                None if !self.reading.floor.wants(id) => None,
                None => self.is_dated_after_higher(id, mark).map(|higher| {
                    format!("event {id} is new, and the portal has given out {higher} long before it")
                }),
            }
        })
    }

    fn mark_of(&self, id: EventId) -> Option<Mark> {
        self.held.get(&id).map(|held| held.mark).or_else(|| self.left.get(&id).copied())
    }

    /// A known id above `id` that is certainly dated before it.
    fn is_dated_after_higher(&self, id: EventId, mark: Mark) -> Option<EventId> {
        let date_ms = mark.0.filter(|_| !self.has_odd_dates)?;
        let held = self.held.range(id..).map(|(id, held)| (*id, held.mark));
        let left = self.left.range(id..).map(|(id, mark)| (*id, *mark));
        let doubt_ms = millis(DATE_RESOLUTION + DATE_DOUBT);
        let mut known = held.chain(left);
        let is_before = |(_, known): &(EventId, Mark)| known.0.is_some_and(|ms| ms + doubt_ms < date_ms);
        known.find(is_before).map(|(id, _)| id)
    }

    /// Begins the next generation. The events from before that the portal still shows stay known.
    fn begin_generation(&mut self, batch: &Batch) {
        let is_same = |id: &EventId, mark: Mark| {
            let place = batch.events.binary_search_by_key(id, |event| event.id);
            place.is_ok_and(|place| Mark::of(&batch.events[place]).may_be(mark))
        };
        self.held.retain(|id, held| is_same(id, held.mark));
        self.held.values_mut().for_each(|held| held.is_older = true);
        self.left.retain(|id, mark| is_same(id, *mark));
        self.grown = None;
        self.reading.generation += 1;
        (self.reading.confirmed, self.reading.floor) = (Offset::START, Offset::START);
    }

    /// Notes that a poll sent at `asked_at`, which is `asked_ms` by the portal's clock, has shown all events, or all
    /// below `end`.
    fn grow(&mut self, end: Option<Offset>, asked_at: Instant, asked_ms: i64) {
        let is_shown = |id: EventId| end.is_none_or(|end| !end.wants(id));
        let is_young = |held: &Held| held.is_young(self.lag, self.has_odd_dates, asked_at, asked_ms);
        let mut highest_first = self.held.iter().rev();
        let grown = highest_first.find(|(id, held)| is_shown(**id) && !is_young(held)).map(|(id, _)| *id);
        self.grown = self.grown.max(grown);
    }

    /// Whether the date says that the event is older than a poll that did not show it yet.
    fn contradicts(&self, date_ms: Option<i64>, portal_ms: i64) -> bool {
        let (Some(date_ms), Some(emptied_at)) = (date_ms, self.emptied_at) else { return false };
        let greatest = emptied_at.elapsed() + self.lag + DATE_RESOLUTION + DATE_TOLERANCE;
        portal_ms.saturating_sub(date_ms) > millis(greatest)
    }

    fn marks_text(&self) -> String {
        let older = self.held.iter().filter(|(_, held)| held.is_older).map(|(id, held)| (id, held.mark));
        let left = self.left.iter().map(|(id, mark)| (id, *mark));
        let marks: Vec<(u64, Mark)> = left.chain(older).map(|(id, mark)| (id.get(), mark)).collect();
        serde_json::to_string(&marks).unwrap_or_default()
    }
}

/// Returns no marks if the text cannot be parsed.
fn read_marks(text: &str) -> Vec<(EventId, Mark)> {
    let marks: Vec<(u64, Mark)> = serde_json::from_str(text).unwrap_or_default();
    marks.into_iter().filter_map(|(id, mark)| Some((EventId::try_new(id)?, mark))).collect()
}

impl Held {
    /// Whether a lower id may still have been invisible at `at`, which was `portal_ms` on the portal's clock.
    fn is_young(&self, lag: Duration, has_odd_dates: bool, at: Instant, portal_ms: i64) -> bool {
        if at.saturating_duration_since(self.read_at) >= lag {
            return false;
        }
        match self.date_ms {
            Some(date_ms) if !has_odd_dates => {
                portal_ms.saturating_sub(date_ms) <= millis(lag + DATE_RESOLUTION + DATE_DOUBT)
            }
            _ => true,
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
