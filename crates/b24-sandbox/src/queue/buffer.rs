//! One queue, of a user or a bot, as described in PORTAL.md 2.2-2.6. Pure: it has no clock and does no I/O.
//!
//! Rows are in ascending order of their ids, and each removed row is counted by its reason.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::queue::row::{Row, Served};
use crate::state::counters::QueueStats;

/// How long a caller without an offset still gets an empty page after the queue was found empty (PORTAL.md
/// 2.3).
const MARKER_S: i64 = 60;

/// The request of a reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRequest {
    /// Confirms all rows below; 0 or less confirms nothing.
    pub offset: i64,
    /// The maximum number of rows, before it is clamped.
    pub limit: i64,
}

impl ReadRequest {
    /// The value of a missing `limit`.
    pub(crate) const DEFAULT_LIMIT: i64 = 100;

    /// The limit after the portal has clamped it to 1 to 1000.
    pub(crate) fn effective_limit(self) -> usize {
        usize::try_from(self.limit.clamp(1, 1000)).unwrap_or(1)
    }
}

/// Whether the response will reach the reader completely. It affects only the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Completeness {
    /// Yes, as the portal knows.
    Whole,
    /// No, because a fault will break it, so its rows do not count as served.
    Broken,
}

/// One page of a queue.
#[derive(Debug)]
pub(crate) struct Page {
    /// In ascending order of ids.
    pub rows: Vec<Row>,
    /// The offset for the next request.
    pub next_offset: i64,
    /// True if the page is full.
    pub has_more: bool,
}

/// The effect of `unsubscribe` on the rows (PORTAL.md 2.6: documentation and code differ).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UnsubscribePolicy {
    /// Deletes them, like the code.
    Purge,
    /// Keeps them readable, as documented.
    Keep,
}

/// One queue's rows and subscription.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    rows: VecDeque<Row>,
    held: Vec<Row>,
    /// By the time at which they become visible, and by id.
    late: BTreeMap<(Instant, u64), Row>,
    subscribed: bool,
    /// Until this time, a reader without an offset gets an empty page.
    marker_until_s: Option<i64>,
    ledger: Vec<u64>,
    stats: QueueStats,
}

impl Queue {
    /// True if events are being recorded.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// Changes only the flag, as another client of the same user would.
    pub(crate) fn set_subscribed(&mut self, subscribed: bool) {
        self.subscribed = subscribed;
    }

    /// `im.v2.Event.subscribe`: records events from now on.
    pub(crate) fn subscribe(&mut self) {
        self.stats.subscribes += 1;
        self.subscribed = true;
    }

    /// `im.v2.Event.unsubscribe` (PORTAL.md 2.6).
    pub(crate) fn unsubscribe(&mut self, policy: UnsubscribePolicy) {
        self.stats.unsubscribes += 1;
        self.subscribed = false;
        if policy == UnsubscribePolicy::Purge {
            self.purge();
        }
    }

    /// Deletes every row.
    pub(crate) fn purge(&mut self) {
        self.stats.purged += self.rows.len() as u64;
        self.rows.clear();
        self.marker_until_s = None;
    }

    /// Adds a row. The caller checks whether the user is subscribed.
    pub(crate) fn record(&mut self, row: Row) {
        self.marker_until_s = None;
        self.stats.recorded += 1;
        self.stats.highest_id = self.stats.highest_id.max(row.id);
        self.ledger.push(row.id);
        let place = self.rows.partition_point(|stored| stored.id < row.id);
        self.rows.insert(place, row);
    }

    /// Adds a row that has an id but is invisible until released (PORTAL.md 2.9, hazard 2).
    pub(crate) fn hold(&mut self, row: Row) {
        self.held.push(row);
    }

    /// Adds a row that is invisible until `due`. Until then, readers cannot confirm it either.
    pub(crate) fn delay(&mut self, row: Row, due: Instant) {
        self.late.insert((due, row.id), row);
    }

    /// Makes the rows visible that are due by `now`. Returns when the next one is due.
    pub(crate) fn surface(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= now) {
            let row = entry.remove();
            self.record(row);
        }
        self.late.keys().next().map(|(due, _)| *due)
    }

    /// Makes all held and late rows visible, and returns their number.
    pub(crate) fn release(&mut self) -> usize {
        let mut held = std::mem::take(&mut self.held);
        held.extend(std::mem::take(&mut self.late).into_values());
        let count = held.len();
        for row in held {
            self.record(row);
        }
        count
    }

    /// The first steps of a read: deletes the rows below a positive `offset`, and clears the marker.
    pub(crate) fn confirm(&mut self, offset: i64) {
        self.stats.last_offset = offset;
        if offset > 0 {
            self.confirm_below(offset.unsigned_abs());
            self.marker_until_s = None;
        }
    }

    /// True if a reader found the queue empty within the last minute, and no row was added since.
    pub(crate) fn is_believed_empty(&self, now_s: i64) -> bool {
        self.marker_until_s.is_some_and(|until| now_s < until)
    }

    /// Records that a reader found the queue empty.
    pub(crate) fn believe_empty(&mut self, now_s: i64) {
        self.marker_until_s = Some(now_s + MARKER_S);
    }

    /// The first `limit` rows created at or before `newest_s`.
    pub(crate) fn front(&self, limit: usize, newest_s: i64) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.created_s <= newest_s).take(limit)
    }

    /// Counts the rows up to `last` as served, except those created after `newest_s`.
    pub(crate) fn count_served(&mut self, last: Option<u64>, newest_s: i64) {
        let Some(last) = last else { return };
        let served = self.rows.iter_mut().take_while(|row| row.id <= last);
        for row in served.filter(|row| row.created_s <= newest_s) {
            match row.served {
                Served::Never => {
                    row.served = Served::Once;
                    self.stats.served += 1;
                }
                Served::Once => {
                    row.served = Served::Again;
                    self.stats.served_again += 1;
                }
                Served::Again => {}
            }
        }
    }

    /// A second reader of the same user confirms all rows below `offset`, or all.
    pub(crate) fn steal(&mut self, offset: Option<u64>) -> usize {
        let count = offset.map_or(self.rows.len(), |offset| self.rows.partition_point(|row| row.id < offset));
        let unserved = self.rows.drain(..count).filter(Row::is_unserved).count();
        self.stats.stolen += count as u64;
        self.stats.stolen_unserved += unserved as u64;
        count
    }

    /// Deletes at most `max` rows created before `cutoff_s`, and returns their number.
    pub(crate) fn expire(&mut self, cutoff_s: i64, max: usize) -> usize {
        let (mut expired, mut unserved) = (0, 0);
        while expired < max
            && let Some(row) = self.rows.front().filter(|row| row.created_s < cutoff_s)
        {
            unserved += usize::from(row.is_unserved());
            expired += 1;
            self.rows.pop_front();
        }
        if expired < max {
            // If the clock was set back, old rows may follow newer ones.
            self.rows.retain(|row| {
                let stays = row.created_s >= cutoff_s || expired >= max;
                expired += usize::from(!stays);
                unserved += usize::from(!stays && row.is_unserved());
                stays
            });
        }
        self.stats.expired += expired as u64;
        self.stats.expired_unserved += unserved as u64;
        expired
    }

    /// True if [`Queue::expire`] would delete a row.
    pub(crate) fn has_expired(&self, cutoff_s: i64) -> bool {
        self.rows.iter().any(|row| row.created_s < cutoff_s)
    }

    /// Removes every row from `next` on, because a restored portal does not have them.
    pub(crate) fn roll_back(&mut self, next: u64) {
        let before = self.rows.len() + self.hidden();
        self.rows.retain(|row| row.id < next);
        self.held.retain(|row| row.id < next);
        self.late.retain(|_, row| row.id < next);
        self.stats.rolled_back += (before - self.rows.len() - self.hidden()) as u64;
    }

    /// Every id ever visible in this queue, in ascending order.
    pub(crate) fn ledger(&self) -> Vec<u64> {
        let mut ids = self.ledger.clone();
        ids.sort_unstable();
        ids
    }

    /// The counts so far.
    pub(crate) fn stats(&self) -> QueueStats {
        QueueStats {
            subscribed: self.subscribed,
            pending: self.rows.len() as u64,
            held: self.hidden() as u64,
            ..self.stats.clone()
        }
    }

    /// The number of rows that have an id but are not visible.
    fn hidden(&self) -> usize {
        self.held.len() + self.late.len()
    }

    fn confirm_below(&mut self, offset: u64) {
        let count = self.rows.partition_point(|row| row.id < offset);
        let unserved = self.rows.drain(..count).filter(Row::is_unserved).count();
        self.stats.confirmed += count as u64;
        self.stats.confirmed_unserved += unserved as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::read::{ReadContext, read};

    const NOW: i64 = 1_000_000;

    fn row(id: u64) -> Row {
        Row::new(id, NOW, "ONIMV2MESSAGEADD".into(), "{}".into())
    }

    fn queue(ids: &[u64]) -> Queue {
        let mut queue = Queue::default();
        for id in ids {
            queue.record(row(*id));
        }
        queue
    }

    fn read_through(queue: &mut Queue, request: ReadRequest, now_s: i64, completeness: Completeness) -> Page {
        read(&mut [queue], request, ReadContext { now_s, lag_s: 0, completeness })
    }

    fn get(queue: &mut Queue, offset: i64, limit: i64, now_s: i64) -> (Vec<u64>, i64, bool) {
        let page = read_through(queue, ReadRequest { offset, limit }, now_s, Completeness::Whole);
        (page.rows.iter().map(|row| row.id).collect(), page.next_offset, page.has_more)
    }

    #[test]
    fn the_limit_is_clamped() {
        let ids: Vec<u64> = (1..=1100).collect();
        for (limit, expected) in [(0, 1), (-7, 1), (1, 1), (1000, 1000), (5000, 1000)] {
            assert_eq!(get(&mut queue(&ids), 0, limit, NOW).0.len(), expected, "limit {limit}");
        }
    }

    #[test]
    fn a_positive_offset_deletes_everything_below_it() {
        let mut queue = queue(&[3, 5, 9]);
        assert_eq!(get(&mut queue, 5, 100, NOW), (vec![5, 9], 10, false));
        assert_eq!(get(&mut queue, 0, 100, NOW).0, [5, 9]);
        let stats = queue.stats();
        assert_eq!((stats.confirmed, stats.confirmed_unserved, stats.pending), (1, 1, 2));
    }

    #[test]
    fn zero_and_negative_offsets_delete_nothing() {
        let mut queue = queue(&[3, 5]);
        for offset in [0, -4, 1] {
            assert_eq!(get(&mut queue, offset, 100, NOW).0, [3, 5]);
        }
        assert_eq!(queue.stats().confirmed, 0);
    }

    #[test]
    fn the_same_offset_returns_the_same_rows() {
        let mut queue = queue(&[3, 5]);
        assert_eq!(get(&mut queue, 3, 100, NOW), get(&mut queue, 3, 100, NOW));
        let stats = queue.stats();
        assert_eq!((stats.served, stats.served_again), (2, 2));
        get(&mut queue, 3, 100, NOW);
        assert_eq!(queue.stats().served_again, 2, "counts rows, not servings");
    }

    #[test]
    fn the_marker_hides_rows_only_from_callers_without_an_offset() {
        let mut queue = Queue::default();
        assert_eq!(get(&mut queue, 0, 100, NOW).0, [0; 0]);
        // Added directly, like a row from a writer that lost the race for the marker.
        queue.rows.push_back(row(8));
        assert_eq!(get(&mut queue, 0, 100, NOW + 59).0, [0; 0]);
        assert_eq!(get(&mut queue, -1, 100, NOW + 59), (vec![], -1, false));
        assert_eq!(get(&mut queue, 0, 100, NOW + 60).0, [8]);

        let mut queue = Queue::default();
        get(&mut queue, 0, 100, NOW);
        queue.rows.push_back(row(8));
        assert_eq!(get(&mut queue, 1, 100, NOW).0, [8], "an offset drops the marker");
    }

    #[test]
    fn a_write_removes_the_marker() {
        let mut queue = Queue::default();
        get(&mut queue, 0, 100, NOW);
        queue.record(row(8));
        assert_eq!(get(&mut queue, 0, 100, NOW).0, [8]);
    }

    #[test]
    fn an_empty_page_echoes_the_offset() {
        for offset in [0, -9, 1, 77, 9_000_000_000] {
            assert_eq!(get(&mut Queue::default(), offset, 100, NOW), (vec![], offset, false));
        }
    }

    #[test]
    fn has_more_means_a_full_page() {
        let mut queue = queue(&[1, 2, 3]);
        assert_eq!(get(&mut queue, 1, 3, NOW), (vec![1, 2, 3], 4, true));
        assert_eq!(get(&mut queue, 1, 4, NOW), (vec![1, 2, 3], 4, false));
        assert_eq!(get(&mut queue, 4, 3, NOW), (vec![], 4, false));
    }

    #[test]
    fn an_offset_too_large_destroys_and_hides() {
        let mut queue = queue(&[1, 2]);
        assert_eq!(get(&mut queue, 50, 100, NOW), (vec![], 50, false));
        queue.record(row(49));
        assert_eq!(get(&mut queue, 50, 100, NOW), (vec![], 50, false));
        assert_eq!(queue.stats().confirmed_unserved, 3);
    }

    #[test]
    fn a_row_released_late_is_lost_to_a_reader_that_went_past_it() {
        let mut queue = queue(&[4, 6]);
        queue.hold(row(5));
        assert_eq!(get(&mut queue, 4, 100, NOW), (vec![4, 6], 7, false));
        assert_eq!(queue.release(), 1);
        assert_eq!(get(&mut queue, 7, 100, NOW).0, [0; 0]);
        assert_eq!(queue.stats().confirmed_unserved, 1);
        assert_eq!(queue.ledger(), [4, 5, 6]);
    }

    #[test]
    fn a_late_row_survives_a_confirmation_and_is_lost_to_the_next() {
        let mut queue = queue(&[4, 6]);
        let now = Instant::now();
        let later = now + std::time::Duration::from_secs(1);
        queue.delay(row(5), later);
        assert_eq!(queue.surface(now), Some(later));
        assert_eq!(get(&mut queue, 6, 100, NOW).0, [6], "what is not committed cannot be deleted");
        assert_eq!((queue.stats().held, queue.stats().confirmed), (1, 1));
        assert_eq!(queue.ledger(), [4, 6]);
        assert_eq!(queue.surface(later), None);
        assert_eq!(get(&mut queue, 0, 100, NOW).0, [5, 6], "it shows to whoever confirms nothing");
        queue.delay(row(3), later);
        queue.surface(later);
        assert_eq!(get(&mut queue, 6, 100, NOW).0, [6]);
        let stats = queue.stats();
        assert_eq!((stats.confirmed, stats.confirmed_unserved, stats.held), (3, 2, 0));
    }

    #[test]
    fn unsubscribing_purges_or_keeps() {
        let mut purged = queue(&[1, 2]);
        purged.subscribe();
        purged.unsubscribe(UnsubscribePolicy::Purge);
        assert_eq!(get(&mut purged, 0, 100, NOW).0, [0; 0]);
        assert_eq!(purged.stats().purged, 2);

        let mut kept = queue(&[1, 2]);
        kept.unsubscribe(UnsubscribePolicy::Keep);
        assert!(!kept.is_subscribed());
        assert_eq!(get(&mut kept, 0, 100, NOW).0, [1, 2]);
    }

    #[test]
    fn rows_expire_in_chunks_and_age_alone_hides_nothing() {
        let mut queue = queue(&[1, 2, 3]);
        assert_eq!(get(&mut queue, 1, 1, NOW + 200_000).0, [1], "no filter by age");
        assert_eq!(queue.expire(NOW, 10), 0);
        assert_eq!(queue.expire(NOW + 1, 2), 2);
        assert_eq!(get(&mut queue, 1, 100, NOW).0, [3]);
        let stats = queue.stats();
        assert_eq!((stats.expired, stats.expired_unserved, stats.confirmed_unserved), (2, 1, 0));
    }

    #[test]
    fn rows_of_a_broken_answer_do_not_count_as_served() {
        let mut queue = queue(&[1]);
        read_through(&mut queue, ReadRequest { offset: 1, limit: 100 }, NOW, Completeness::Broken);
        get(&mut queue, 2, 100, NOW);
        assert_eq!(queue.stats().confirmed_unserved, 1);
    }

    proptest::proptest! {
        #[test]
        fn every_row_is_accounted_for(steps in proptest::collection::vec((0..6_u8, 0..60_i64), 0..80)) {
            let mut queue = Queue::default();
            let mut next = 1;
            for (step, number) in steps {
                match step {
                    0 | 1 => {
                        queue.record(row(next));
                        next += 1 + number.unsigned_abs() % 3;
                    }
                    2 | 3 => drop(get(&mut queue, number, number % 7, NOW)),
                    4 => drop(queue.steal(Some(number.unsigned_abs()))),
                    _ => drop(queue.expire(NOW + number % 2, 3)),
                }
            }
            let stats = queue.stats();
            let left = stats.confirmed + stats.stolen + stats.expired;
            proptest::prop_assert_eq!(stats.recorded, left + stats.pending);
            proptest::prop_assert_eq!(stats.recorded, queue.ledger().len() as u64);
            proptest::prop_assert!(stats.confirmed_unserved <= stats.confirmed);
            proptest::prop_assert!(queue.rows.iter().is_sorted_by(|a, b| a.id < b.id));
        }
    }

    #[test]
    fn a_thief_takes_all_or_up_to_an_offset() {
        let mut queue = queue(&[1, 2, 3]);
        get(&mut queue, 1, 2, NOW);
        assert_eq!(queue.steal(Some(2)), 1);
        assert_eq!(queue.steal(None), 2);
        assert_eq!((queue.stats().stolen, queue.stats().stolen_unserved), (3, 1));
    }
}
