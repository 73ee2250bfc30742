//! The confirm window: the events that were read and that the portal may still have. Pure.
//!
//! Keeps I2: an event leaves the portal's queue only when it is in the journal. The offset that is sent is made of ids
//! that the last answer has shown, so it can destroy nothing of a portal that has begun to count anew meanwhile.
//!
//! An id is given out before its row can be seen, so a higher one may be read first; confirming that one would destroy
//! the other unseen (PORTAL.md 2.9, hazard 2). So an id is confirmed only when it is older than `confirm_lag`, and a
//! poll that was sent afterwards has shown all below it. An id that shows even later is an ordinary new event.
//!
//! A portal that was restored from a backup gives out numbers again. What is remembered of every event in the window and
//! of the last ones before it tells that for certain: the same id with other contents, or an id below known ones
//! that is dated after them. The queue then begins its next generation.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::clock::PortalClock;
use crate::checkpoint::Seq;
use crate::config::Hold;
use crate::event::{Batch, Entry, Event, EventId, Offset};
use crate::store::Reading;

/// How many ids there may be in it: more would keep a poll from showing what is new.
const IDS_MAX: usize = 300;

/// How many events are remembered that have left it.
const MARKS_MAX: usize = 64;

/// Events are dated in whole seconds: one may be that much younger than its date says.
const DATE_RESOLUTION: Duration = Duration::from_secs(1);

/// What dates and clock of a portal may be apart without anybody noticing: they need not come from one machine.
const DATE_DOUBT: Duration = Duration::from_secs(10);

/// How much later than by its date an event may show without its date being odd, besides the lag.
const DATE_TOLERANCE: Duration = Duration::from_secs(2);

/// After so long the portal may have deleted an event by itself (PORTAL.md 2.5).
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What an event is recognised by, besides its id: its date in Unix milliseconds, if it tells, and a checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Mark(Option<i64>, u64);

impl Mark {
    fn of(event: &Event) -> Self {
        let around = crc32fast::hash(format!("{}{}", event.kind, event.date.get()).as_bytes());
        let data = crc32fast::hash(event.data.get().as_bytes());
        Self(event.date_ms(), u64::from(around) << 32 | u64::from(data))
    }
}

/// One event in the window.
#[derive(Clone, Copy)]
struct Held {
    seq: Seq,
    mark: Mark,
    read_at: Instant,
    /// Its date by the portal's clock; `None` when there is no relying on it.
    date_ms: Option<i64>,
    /// An earlier run has read it, and no answer has shown it since.
    is_of_before: bool,
}

/// See the top of this file.
pub struct Window {
    lag: Duration,
    hold: Hold,
    held: BTreeMap<EventId, Held>,
    /// The last events that have left it.
    left: BTreeMap<EventId, Mark>,
    reading: Reading,
    /// All up to it is old enough, and has been shown by a poll since.
    grown: Option<EventId>,
    /// The highest id that the last answer has shown.
    shown_to: Option<EventId>,
    /// The highest offset that was sent and whose answer has not come.
    sent: Offset,
    /// The next poll only looks: what the portal has become is not known.
    only_looks: bool,
    has_odd_dates: bool,
    /// When the last poll that was answered was sent.
    asked_at: Option<Instant>,
    /// The same of the last one that read the queue to its end.
    emptied_at: Option<Instant>,
}

/// What a poll showed.
#[derive(Debug, Default)]
pub struct Shown {
    /// The events that were not read before.
    pub fresh: Vec<Event>,
    /// How many were read before, are not confirmed, and are gone.
    pub stolen: u64,
    /// The first contradiction between the portal's dates and its clock.
    pub are_dates_odd: bool,
    /// The portal counts anew: why that is certain.
    pub restored: Option<String>,
}

impl Window {
    /// The window of a source that has read as far as `reading` says, where `open` may still be at the portal.
    pub fn new(lag: Duration, hold: Hold, reading: Reading, open: &[Entry], has_odd_dates: bool) -> Self {
        let now = Instant::now();
        let held = |entry: &Entry| {
            let mark = Mark::of(&entry.event);
            (entry.event.id, Held { seq: entry.seq, mark, read_at: now, date_ms: None, is_of_before: true })
        };
        let left: Vec<(EventId, Mark)> = read_marks(&reading.marks);
        Self {
            lag,
            hold,
            held: open.iter().map(held).collect(),
            left: left.into_iter().collect(),
            reading,
            grown: None,
            shown_to: None,
            sent: Offset::START,
            only_looks: true,
            has_odd_dates,
            asked_at: None,
            emptied_at: None,
        }
    }

    /// The next event that is read comes at `next`: something else was appended.
    pub fn go_on_at(&mut self, next: Seq) {
        self.reading.next = next;
    }

    /// How far the source has read.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The lowest sequence number that it holds, or the next one.
    pub fn open(&self) -> Seq {
        self.held.values().map(|held| held.seq).min().unwrap_or(self.reading.next)
    }

    /// How many events a poll from `offset` on will bring again.
    pub fn count_from(&self, offset: Offset) -> usize {
        self.held.range(offset.first_wanted()..).count()
    }

    /// From where to poll: behind all that the portal may forget. Every sink has what lies before `delivered`; a page
    /// holds up to `page` events.
    pub fn offset(&self, delivered: Seq, page: u16) -> Offset {
        if self.only_looks {
            return Offset::START;
        }
        let is_settled = |held: &Held| {
            held.seq < delivered || matches!(self.hold, Hold::For(hold) if held.read_at.elapsed() >= hold)
        };
        let is_grown = |id: EventId| self.grown.is_some_and(|grown| id <= grown);
        let is_shown = |id: EventId| self.shown_to.is_some_and(|shown_to| id <= shown_to);
        let surplus = self.held.len().saturating_sub(IDS_MAX.min(usize::from(page) / 2));
        let mut offset = self.reading.floor;
        for (place, (id, held)) in self.held.iter().enumerate() {
            let is_surplus = place < surplus && is_shown(*id);
            let is_released = match self.hold {
                Hold::For(_) => is_surplus || is_grown(*id) && is_settled(held),
                Hold::Forever => is_settled(held) && (is_grown(*id) || is_surplus),
            };
            if !is_released {
                break;
            }
            offset = offset.max(id.next());
        }
        offset
    }

    /// A poll from `offset` on is about to be sent.
    pub fn send(&mut self, offset: Offset) {
        self.sent = self.sent.max(offset);
    }

    /// No answer came, or a refusal: the portal may be another one when it is back.
    pub fn doubt(&mut self) {
        self.only_looks = true;
    }

    /// After how long a poll will let more be confirmed, at the latest; zero when nothing holds it.
    pub fn rises_in(&self) -> Duration {
        let behind = self.held.iter().filter(|(id, _)| self.grown.is_none_or(|grown| **id > grown));
        let since = behind.map(|(_, held)| held.read_at).min();
        since.map_or(Duration::ZERO, |since| self.lag.saturating_sub(since.elapsed()))
    }

    /// The highest id in it.
    pub fn highest(&self) -> Option<EventId> {
        self.held.keys().next_back().copied()
    }

    /// Whether nothing that was not read could appear up to `id`, which was read at `read_at`, when the last poll was sent.
    pub fn has_grown_to(&self, id: EventId, read_at: Instant) -> bool {
        let is_old = self.asked_at.is_some_and(|asked_at| asked_at >= read_at + self.lag);
        is_old || self.grown.is_some_and(|grown| id <= grown)
    }

    /// Takes note of `batch`, the answer to a poll from `offset` on that was sent at `asked_at`. The fresh events are the
    /// next ones of the journal.
    pub fn read(&mut self, batch: Batch, offset: Offset, asked_at: Instant, clock: &PortalClock) -> Shown {
        let portal_ms = clock.now_ms();
        let mut shown = Shown { restored: self.proof_of_restore(&batch), ..Shown::default() };
        let stolen = self.let_go(&batch, offset, portal_ms);
        match &shown.restored {
            Some(_) => self.begin_generation(&batch),
            None => shown.stolen = stolen,
        }
        let (end, has_more, is_cut) = (batch.next(), batch.has_more, batch.cut_at.is_some());
        // Without having seen the queue empty, its end is where the young ones are.
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
            let held =
                Held { seq: self.reading.next, mark, read_at: Instant::now(), date_ms, is_of_before: false };
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
        self.reading.marks = self.marks_text();
        shown
    }

    /// Takes out what the portal has let go of by order of ours, and what is not in `batch` though it should be. Returns
    /// how much of that nobody here has confirmed. What the portal deletes by itself does not count.
    fn let_go(&mut self, batch: &Batch, offset: Offset, portal_ms: i64) -> u64 {
        let last = batch.events.last().map(|event| event.id);
        let is_within = |id: EventId| !batch.has_more || last.is_some_and(|last| id <= last);
        let is_there = |id: EventId| batch.events.binary_search_by_key(&id, |event| event.id).is_ok();
        let is_gone = |id: EventId| !offset.wants(id) || is_within(id) && !is_there(id);
        let gone: Vec<EventId> = self.held.keys().copied().filter(|id| is_gone(*id)).collect();
        let mut stolen = 0;
        for id in gone {
            let Some(held) = self.held.remove(&id) else { continue };
            self.left.insert(id, held.mark);
            let age_ms = held.mark.0.map_or(0, |date_ms| portal_ms.saturating_sub(date_ms));
            let is_alive = age_ms.max(millis(held.read_at.elapsed())) < millis(LIFETIME);
            // What an earlier run has sent is not known.
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

    /// Why the portal must have been restored, if that is certain.
    fn proof_of_restore(&self, batch: &Batch) -> Option<String> {
        batch.events.iter().find_map(|event| {
            let (id, mark) = (event.id, Mark::of(event));
            match self.mark_of(id) {
                Some(known) if known == mark => None,
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

    /// The known id above `id` that is dated before it, beyond all doubt.
    fn is_dated_after_higher(&self, id: EventId, mark: Mark) -> Option<EventId> {
        let date_ms = mark.0.filter(|_| !self.has_odd_dates)?;
        let held = self.held.range(id..).map(|(id, held)| (*id, held.mark));
        let left = self.left.range(id..).map(|(id, mark)| (*id, *mark));
        let doubt_ms = millis(DATE_RESOLUTION + DATE_DOUBT);
        let mut known = held.chain(left);
        let is_before = |(_, known): &(EventId, Mark)| known.0.is_some_and(|ms| ms + doubt_ms < date_ms);
        known.find(is_before).map(|(id, _)| id)
    }

    /// The portal counts anew. What it still shows of before is known.
    fn begin_generation(&mut self, batch: &Batch) {
        let is_same = |id: &EventId, mark: Mark| {
            let place = batch.events.binary_search_by_key(id, |event| event.id);
            place.is_ok_and(|place| Mark::of(&batch.events[place]) == mark)
        };
        self.held.retain(|id, held| is_same(id, held.mark));
        self.left.retain(|id, mark| is_same(id, *mark));
        self.grown = None;
        self.reading.generation += 1;
        (self.reading.confirmed, self.reading.floor) = (Offset::START, Offset::START);
    }

    /// A poll that was sent at `asked_at`, or `asked_ms` by the portal's clock, has shown all there was, or all there was
    /// below `end`.
    fn grow(&mut self, end: Option<Offset>, asked_at: Instant, asked_ms: i64) {
        let is_shown = |id: EventId| end.is_none_or(|end| !end.wants(id));
        let is_young = |held: &Held| held.is_young(self.lag, self.has_odd_dates, asked_at, asked_ms);
        let mut highest_first = self.held.iter().rev();
        let grown = highest_first.find(|(id, held)| is_shown(**id) && !is_young(held)).map(|(id, _)| *id);
        self.grown = self.grown.max(grown);
    }

    /// Is an event said to be older than the moment at which it was not there yet?
    fn contradicts(&self, date_ms: Option<i64>, portal_ms: i64) -> bool {
        let (Some(date_ms), Some(emptied_at)) = (date_ms, self.emptied_at) else { return false };
        let greatest = emptied_at.elapsed() + self.lag + DATE_RESOLUTION + DATE_TOLERANCE;
        portal_ms.saturating_sub(date_ms) > millis(greatest)
    }

    fn marks_text(&self) -> String {
        let marks: Vec<(u64, Mark)> = self.left.iter().map(|(id, mark)| (id.get(), *mark)).collect();
        serde_json::to_string(&marks).unwrap_or_default()
    }
}

/// Nothing is known of a text that says nothing.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::value::RawValue;

    use super::*;
    use crate::event::Queue;

    const LAG: Duration = Duration::from_secs(10);
    const PAGE: u16 = 1000;

    fn id(id: u64) -> EventId {
        EventId::try_new(id).unwrap()
    }

    fn event(number: u64, second: i64, text: &str) -> Event {
        let date = jiff::Timestamp::from_second(1_700_000_000 + second).unwrap();
        Event {
            queue: Arc::new(Queue::new("support", "example.bitrix24.com/user/12")),
            id: id(number),
            kind: "ONIMV2MESSAGEADD".into(),
            date: RawValue::from_string(format!("\"{date}\"")).unwrap(),
            data: RawValue::from_string(format!("\"{text}\"")).unwrap(),
        }
    }

    fn batch(events: &[(u64, i64)], has_more: bool) -> Batch {
        let events = events.iter().map(|(number, second)| event(*number, *second, "x")).collect();
        Batch { events, has_more, ..Batch::default() }
    }

    /// A window with a portal whose clock goes with ours.
    struct Trial {
        window: Window,
        clock: PortalClock,
        began: Instant,
    }

    impl Trial {
        fn begin(hold: Hold) -> Self {
            let trial = Self {
                window: Window::new(LAG, hold, Reading::beginning(), &[], false),
                clock: PortalClock::default(),
                began: Instant::now(),
            };
            trial.clock.note(1_700_000_000_000);
            trial
        }

        fn second(&self) -> i64 {
            i64::try_from(self.began.elapsed().as_secs()).unwrap()
        }

        fn read(&mut self, batch: Batch, offset: u64) -> Shown {
            let offset = Offset::try_new(offset).unwrap();
            self.window.send(offset);
            self.window.read(batch, offset, Instant::now(), &self.clock)
        }

        fn offset(&self, delivered: u64) -> u64 {
            self.window.offset(Seq::try_new(delivered).unwrap(), PAGE).get()
        }
    }

    fn ids(shown: &Shown) -> Vec<u64> {
        shown.fresh.iter().map(|event| event.id.get()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_is_confirmed_when_it_is_old_and_delivered_or_held_for_long_enough() {
        let mut trial = Trial::begin(Hold::For(Duration::from_secs(30)));
        trial.read(batch(&[], false), 1);
        assert_eq!(ids(&trial.read(batch(&[(5, 0), (7, 0)], false), 1)), [5, 7]);
        assert_eq!(trial.offset(3), 1, "young");
        tokio::time::advance(LAG).await;
        assert_eq!(trial.offset(3), 1, "old, but no poll has shown what may lie below since");
        assert_eq!(ids(&trial.read(batch(&[(5, 0), (6, 0), (7, 0)], false), 1)), [6]);
        assert_eq!(trial.offset(4), 8);
        assert_eq!(trial.offset(3), 6, "the third was not delivered");
        assert_eq!(trial.offset(1), 1);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(trial.offset(1), 6, "the sixth was read later");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(trial.offset(1), 8);
        trial.read(batch(&[], false), 8);
        assert_eq!((trial.window.reading().confirmed.get(), trial.offset(1)), (8, 1), "nothing is left");
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_that_shows_after_all_around_it_was_confirmed_is_an_ordinary_one() {
        let mut trial = Trial::begin(Hold::For(Duration::ZERO));
        trial.read(batch(&[(5, 0), (7, 0)], false), 1);
        tokio::time::advance(2 * LAG).await;
        trial.read(batch(&[(5, 0), (7, 0)], false), 1);
        assert_eq!(trial.offset(1), 8);
        trial.read(batch(&[], false), 8);
        let shown = trial.read(batch(&[(6, 0)], false), 1);
        assert_eq!((ids(&shown), shown.restored), (vec![6], None));
        assert_eq!(ids(&trial.read(batch(&[(6, 0)], false), 1)), Vec::<u64>::new());
        tokio::time::advance(LAG).await;
        trial.read(batch(&[(6, 0)], false), 1);
        assert_eq!(trial.offset(1), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_portal_that_counts_anew_is_told_by_the_same_id_with_other_contents() {
        let mut trial = Trial::begin(Hold::Forever);
        trial.read(batch(&[(4, 0), (5, 0), (7, 0)], false), 1);
        let mut again = batch(&[(4, 0), (5, 0), (6, 0)], false);
        again.events[1] = event(5, 0, "another");
        let shown = trial.read(again, 1);
        assert_eq!((ids(&shown), shown.stolen), (vec![5, 6], 0), "what it still shows of before is known");
        assert!(shown.restored.is_some());
        let Reading { generation, next, .. } = trial.window.reading();
        assert_eq!((*generation, next.get()), (2, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_portal_that_counts_anew_is_told_by_a_low_id_of_a_late_date() {
        let mut trial = Trial::begin(Hold::For(Duration::ZERO));
        trial.read(batch(&[(50, 0), (70, 0)], false), 1);
        tokio::time::advance(2 * LAG).await;
        trial.read(batch(&[(50, 0), (70, 0)], false), 1);
        trial.read(batch(&[], false), 71);
        tokio::time::advance(Duration::from_secs(60)).await;
        let second = trial.second();
        let shown = trial.read(batch(&[(20, second)], false), 1);
        assert!(shown.restored.is_some());
        assert_eq!((ids(&shown), trial.window.reading().confirmed), (vec![20], Offset::START));
        // And nothing that was remembered of before makes the next one a third.
        assert!(trial.read(batch(&[(20, second), (21, second)], false), 1).restored.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_unconfirmed_was_stolen_but_for_what_a_lost_answer_may_have_confirmed() {
        let mut trial = Trial::begin(Hold::For(Duration::ZERO));
        trial.read(batch(&[(5, 0), (6, 0), (7, 0)], false), 1);
        assert_eq!(trial.read(batch(&[(7, 0)], false), 1).stolen, 2);
        trial.window.send(Offset::try_new(8).unwrap());
        trial.window.doubt();
        assert_eq!(trial.offset(9), 1, "it looks first");
        assert_eq!(trial.read(batch(&[], false), 1).stolen, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_is_too_long_lets_go_of_the_oldest() {
        let mut trial = Trial::begin(Hold::For(Duration::from_secs(30)));
        let events: Vec<(u64, i64)> = (1..=400).map(|number| (number, 0)).collect();
        trial.read(batch(&events, false), 1);
        assert_eq!(trial.offset(1), 101);
        assert_eq!(trial.window.offset(Seq::FIRST, 10).get(), 396, "small pages must show what is new");
        let mut trial = Trial::begin(Hold::Forever);
        trial.read(batch(&events, false), 1);
        assert_eq!((trial.offset(1), trial.offset(51)), (1, 51), "no sink goes without");
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_run_s_events_are_known_and_missing_ones_are_nobody_s_theft() {
        let open: Vec<Entry> = [(1, 5), (2, 7)]
            .map(|(seq, number)| Entry { seq: Seq::try_new(seq).unwrap(), event: event(number, 0, "x") })
            .into();
        let reading = Reading { next: Seq::try_new(3).unwrap(), ..Reading::beginning() };
        let mut window = Window::new(LAG, Hold::Forever, reading, &open, false);
        let clock = PortalClock::default();
        let shown = window.read(batch(&[(7, 0), (9, 0)], false), Offset::START, Instant::now(), &clock);
        assert_eq!((ids(&shown), shown.stolen, window.open().get()), (vec![9], 0, 2));
    }
}
