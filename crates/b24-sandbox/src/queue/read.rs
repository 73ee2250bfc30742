//! Reads one page from one queue or two, with the steps of PORTAL.md 2.3. The events of a bot and its user
//! can be read together, and one offset confirms both (PORTAL.md 3.1).

use crate::queue::buffer::{Completeness, Page, Queue, ReadRequest};
use crate::queue::row::Row;
use crate::rest::input::parameter::Parameters;
use crate::rest::outcome::CallContext;
use crate::rest::refusal::Refusal;
use crate::state::portal::Portal;

/// The state of the portal during a read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadContext {
    /// The portal's time.
    pub now_s: i64,
    /// The lag of the replica, which serves callers without an offset (PORTAL.md 2.4).
    pub lag_s: i64,
    /// Whether the response will arrive completely.
    pub completeness: Completeness,
}

impl Portal {
    /// The state for a call that is made now.
    pub(crate) fn read_context(&self, context: CallContext) -> ReadContext {
        ReadContext {
            now_s: context.now_s,
            lag_s: self.switches.replica_lag_s,
            completeness: context.completeness,
        }
    }
}

impl ReadRequest {
    /// Parses the parameters of a call.
    ///
    /// # Errors
    ///
    /// If a parameter has the wrong type.
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, Refusal> {
        let offset = parameters.integer("offset", 0)?;
        Ok(Self { offset, limit: parameters.integer("limit", Self::DEFAULT_LIMIT)? })
    }
}

/// Confirms the rows below the offset of `request` in all `queues`, then reads the queues as one.
pub(crate) fn read(queues: &mut [&mut Queue], request: ReadRequest, read_context: ReadContext) -> Page {
    for queue in &mut *queues {
        queue.confirm(request.offset);
    }
    if queues.iter().all(|queue| queue.is_believed_empty(read_context.now_s)) {
        return Page { rows: Vec::new(), next_offset: request.offset, has_more: false };
    }
    let limit = request.effective_limit();
    let newest_s = if request.offset > 0 || read_context.lag_s <= 0 {
        i64::MAX
    } else {
        read_context.now_s - read_context.lag_s
    };
    // The rows below the offset are deleted, so the page begins with the first row.
    let mut rows: Vec<Row> = queues.iter().flat_map(|queue| queue.front(limit, newest_s).cloned()).collect();
    if queues.len() > 1 {
        rows.sort_unstable_by_key(|row| row.id);
        rows.truncate(limit);
    }
    let last = rows.last().map(|row| row.id);
    for queue in queues {
        if last.is_none() {
            queue.believe_empty(read_context.now_s);
        }
        if read_context.completeness == Completeness::Whole {
            queue.count_served(last, newest_s);
        }
    }
    let behind_last = last.map_or(request.offset, |id| id.cast_signed() + 1);
    Page { next_offset: request.offset.max(behind_last), has_more: rows.len() >= limit, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn queue(ids: &[u64]) -> Queue {
        let mut queue = Queue::default();
        for id in ids {
            queue.record(Row::new(*id, NOW, "ONIMV2MESSAGEADD".into(), "{}".into()));
        }
        queue
    }

    fn read_at(
        queues: &mut [&mut Queue],
        offset: i64,
        limit: i64,
        read_context: ReadContext,
    ) -> (Vec<u64>, i64, bool) {
        let page = read(queues, ReadRequest { offset, limit }, read_context);
        (page.rows.iter().map(|row| row.id).collect(), page.next_offset, page.has_more)
    }

    fn read_context(now_s: i64, lag_s: i64) -> ReadContext {
        ReadContext { now_s, lag_s, completeness: Completeness::Whole }
    }

    #[test]
    fn two_queues_are_read_as_one() {
        let (mut bot, mut user) = (queue(&[3, 6, 7]), queue(&[4, 5, 9]));
        let now = read_context(NOW, 0);
        let both: &mut [&mut Queue] = &mut [&mut bot, &mut user];
        assert_eq!(read_at(both, 1, 4, now), (vec![3, 4, 5, 6], 7, true));
        assert_eq!(read_at(both, 7, 4, now), (vec![7, 9], 10, false));
        assert_eq!(read_at(both, 10, 4, now), (vec![], 10, false));
        for queue in [bot, user] {
            let stats = queue.stats();
            assert_eq!((stats.confirmed, stats.confirmed_unserved, stats.served), (3, 0, 3));
            assert_eq!((stats.pending, stats.served_again), (0, 0));
        }
    }

    #[test]
    fn the_marker_of_one_queue_does_not_hide_the_other() {
        let (mut bot, mut user) = (queue(&[]), queue(&[4]));
        let now = read_context(NOW, 0);
        assert_eq!(read_at(&mut [&mut bot], 0, 9, now).0, [0; 0]);
        assert_eq!(read_at(&mut [&mut bot, &mut user], 0, 9, now).0, [4]);
    }

    #[test]
    fn a_lagging_replica_hides_young_rows_from_callers_without_an_offset() {
        let mut queue = queue(&[4, 5]);
        queue.record(Row::new(6, NOW + 3, "X".into(), "{}".into()));
        for offset in [0, -1] {
            assert_eq!(
                read_at(&mut [&mut queue], offset, 100, read_context(NOW + 4, 5)),
                (vec![], offset, false)
            );
        }
        assert_eq!(read_at(&mut [&mut queue], 1, 100, read_context(NOW + 4, 5)).0, [4, 5, 6]);
        assert_eq!(read_at(&mut [&mut queue], 0, 100, read_context(NOW + 5, 5)).0, [4, 5]);
        assert_eq!(read_at(&mut [&mut queue], 0, 100, read_context(NOW + 8, 5)).0, [4, 5, 6]);
        let stats = queue.stats();
        assert_eq!((stats.served, stats.served_again), (3, 3));
    }

    #[test]
    fn an_empty_answer_of_the_replica_is_believed_for_a_minute() {
        let mut queue = queue(&[4]);
        assert_eq!(read_at(&mut [&mut queue], 0, 100, read_context(NOW, 5)).0, [0; 0]);
        assert_eq!(read_at(&mut [&mut queue], 0, 100, read_context(NOW + 59, 5)).0, [0; 0]);
        assert_eq!(read_at(&mut [&mut queue], 0, 100, read_context(NOW + 60, 5)).0, [4]);
    }
}
