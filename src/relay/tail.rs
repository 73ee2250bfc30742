//! The end of the portal's queue, where lower ids may still become visible (`confirm_lag`).
//!
//! An id is given out before its row can be seen, so a higher one may be read first; confirming that one
//! would destroy the other unseen (PORTAL.md 2.9, hazard 2). So nothing is confirmed up to an id that is
//! young, nor what is below it and has not been seen yet; what lies there is read again, and dropped by its id.
//!
//! An id is young until we have known it for the lag, by our own clock, or until the portal's dates show
//! that it is older. Then all below it can be seen, and has been read by whatever poll is sent afterwards:
//! only such a poll makes the floor rise. A date is not taken at its word where it cannot be: at the queue's
//! end before it has been seen empty, and from a portal whose dates have contradicted its clock.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::PortalClock;
use crate::event::{Batch, Event, EventId, Offset};

/// Events are dated in whole seconds: one may be that much younger than its date says.
const DATE_RESOLUTION: Duration = Duration::from_secs(1);

/// What dates and clock of a portal may be apart without anybody noticing: they need not come from one machine.
const DATE_DOUBT: Duration = Duration::from_secs(10);

/// How much later than by its date an event may show without its date being odd, besides the lag.
const DATE_TOLERANCE: Duration = Duration::from_secs(2);

/// After so long the portal may have deleted an event by itself (PORTAL.md 2.5).
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// See the top of this file.
pub struct Tail {
    lag: Duration,
    /// What was read and is not confirmed; all of it is settled or in the journal.
    seen: BTreeMap<EventId, Seen>,
    /// Below it nothing new will appear.
    floor: Offset,
    /// Behind everything that was ever read.
    end: Offset,
    /// When that was last read on.
    ended_at: Instant,
    has_odd_dates: bool,
    /// When the last poll that read the queue to its end was sent.
    emptied_at: Option<Instant>,
}

/// One event at the end of the queue.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    /// By the portal's clock; `None` when there is no relying on it.
    date_ms: Option<i64>,
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
}

impl Tail {
    /// The tail from `from` on, of which `known` has been read before.
    pub fn new(
        lag: Duration,
        from: Offset,
        known: impl IntoIterator<Item = EventId>,
        has_odd_dates: bool,
    ) -> Self {
        let seen = Seen { at: Instant::now(), date_ms: None };
        let seen: BTreeMap<_, _> = known.into_iter().map(|id| (id, seen)).collect();
        let end = seen.keys().next_back().map_or(from, |last| last.next().max(from));
        Self { lag, seen, floor: from, end, ended_at: Instant::now(), has_odd_dates, emptied_at: None }
    }

    /// Below it nothing new will appear.
    pub fn floor(&self) -> Offset {
        self.floor
    }

    /// Behind everything that was ever read.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// After how long a poll will make the floor rise, at the latest; zero when nothing holds it.
    pub fn rises_in(&self) -> Duration {
        let lowest = self.seen.range(self.floor.first_wanted()..).next().map(|(_, seen)| seen.at);
        let since = lowest.or_else(|| (self.floor < self.end).then_some(self.ended_at));
        since.map_or(Duration::ZERO, |since| self.lag.saturating_sub(since.elapsed()))
    }

    /// How many events a poll from `offset` on will bring again.
    pub fn count_from(&self, offset: Offset) -> usize {
        self.seen.range(offset.first_wanted()..).count()
    }

    /// Takes note of `batch`, the answer to a poll from `offset` on that was sent at `asked_at`.
    pub fn read(&mut self, batch: Batch, offset: Offset, asked_at: Instant, clock: &PortalClock) -> Shown {
        let portal_ms = clock.now_ms();
        let stolen = self.forget_stolen(&batch, offset, portal_ms);
        self.seen = self.seen.split_off(&offset.first_wanted());
        let mut shown = Shown { stolen, ..Shown::default() };
        let (end, has_more) = (batch.next(), batch.has_more);
        for event in batch.events {
            // What is below the offset came too late, and lies with the dead letters.
            if !offset.wants(event.id) || self.seen.contains_key(&event.id) {
                continue;
            }
            let date_ms = event.date_ms();
            shown.are_dates_odd |= self.contradicts(date_ms, portal_ms);
            // Without having seen the queue empty, its end is where the young ones are.
            let is_reliable = has_more && batch.cut_at.is_none() || self.emptied_at.is_some();
            if !self.lag.is_zero() {
                let date_ms = date_ms.filter(|_| is_reliable);
                self.seen.insert(event.id, Seen { at: Instant::now(), date_ms });
            }
            shown.fresh.push(event);
        }
        shown.are_dates_odd &= !self.has_odd_dates;
        self.has_odd_dates |= shown.are_dates_odd;
        if end.is_some_and(|end| end > self.end) {
            self.end = end.unwrap_or(self.end);
            self.ended_at = Instant::now();
        }
        self.raise(batch.cut_at.or(end.filter(|_| has_more)), asked_at, clock.at(asked_at));
        self.emptied_at = if has_more { None } else { Some(asked_at) };
        shown
    }

    /// A poll that was sent at `asked_at`, or `asked_ms` by the portal's clock, has shown all there was, or
    /// all there was below `end`.
    fn raise(&mut self, end: Option<Offset>, asked_at: Instant, asked_ms: i64) {
        let is_shown = |id: EventId| end.is_none_or(|end| !end.wants(id));
        let is_young = |seen: &Seen| seen.is_young(self.lag, self.has_odd_dates, asked_at, asked_ms);
        let mut highest_first = self.seen.iter().rev();
        let grown = highest_first.find(|(id, seen)| is_shown(**id) && !is_young(seen));
        self.floor = self.floor.max(grown.map_or(self.floor, |(id, _)| id.next()));
        // What was read last may have been stolen since: its id is known all the same. An earlier run may have
        // read further than this poll: what lies between is still to come.
        let is_end_grown = asked_at.saturating_duration_since(self.ended_at) >= self.lag;
        match end {
            None if is_end_grown => self.floor = self.floor.max(self.end),
            Some(end) if self.lag.is_zero() => self.floor = self.floor.max(end),
            None | Some(_) => {}
        }
    }

    /// Is an event said to be older than the moment at which it was not there yet?
    fn contradicts(&self, date_ms: Option<i64>, portal_ms: i64) -> bool {
        let (Some(date_ms), Some(emptied_at)) = (date_ms, self.emptied_at) else { return false };
        let greatest = emptied_at.elapsed() + self.lag + DATE_RESOLUTION + DATE_TOLERANCE;
        portal_ms.saturating_sub(date_ms) > millis(greatest)
    }

    /// What should be in `batch` and is not. What the portal deletes by itself does not count.
    fn forget_stolen(&mut self, batch: &Batch, offset: Offset, portal_ms: i64) -> u64 {
        let last = batch.events.last().map(|event| event.id);
        let is_within = |id: EventId| !batch.has_more || last.is_some_and(|last| id <= last);
        let is_there = |id: EventId| batch.events.binary_search_by_key(&id, |event| event.id).is_ok();
        let gone: Vec<EventId> = self
            .seen
            .keys()
            .copied()
            .filter(|id| offset.wants(*id) && is_within(*id) && !is_there(*id))
            .collect();
        let gone: Vec<Seen> = gone.iter().filter_map(|id| self.seen.remove(id)).collect();
        let is_alive = |seen: &&Seen| {
            let age_ms = seen.date_ms.map_or(0, |date_ms| portal_ms.saturating_sub(date_ms));
            age_ms.max(millis(seen.at.elapsed())) < millis(LIFETIME)
        };
        gone.iter().filter(is_alive).count() as u64
    }
}

impl Seen {
    /// Whether a lower id may still have been invisible at `at`, which was `portal_ms` on the portal's clock.
    fn is_young(&self, lag: Duration, has_odd_dates: bool, at: Instant, portal_ms: i64) -> bool {
        if at.saturating_duration_since(self.at) >= lag {
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
