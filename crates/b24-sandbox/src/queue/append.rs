//! Adds events to the queues: their dates, and when they become visible (PORTAL.md 2.2, 2.9).
//!
//! An id is assigned when its event is recorded, and never later. Delays are measured with the machine's
//! clock, because the portal's clock can stand still.

use std::sync::Arc;
use std::time::Instant;

use crate::queue::owner::ControlError;
use crate::queue::owner::Reader;
use crate::queue::row::Row;
use crate::state::portal::Portal;

impl Portal {
    /// A row with the next id, dated by the clock of the database.
    pub(crate) fn row(&mut self, now_s: i64, kind: Arc<str>, data: Arc<str>) -> Row {
        Row::new(self.allot(), now_s, kind, data).dated(now_s.saturating_add(self.switches.date_skew_s))
    }

    /// Adds `row` to the queue of `reader`. It is visible at once, or later if the switch for late rows is
    /// on.
    ///
    /// # Errors
    ///
    /// If there is no such user or bot.
    pub(crate) fn write(&mut self, reader: Reader, row: Row) -> Result<(), ControlError> {
        let delay = self.switches.late.and_then(|late| late.draw(&mut self.lateness));
        let Some(delay) = delay else {
            self.queue_mut(reader)?.record(row);
            return Ok(());
        };
        let due = Instant::now() + delay;
        self.queue_mut(reader)?.delay(row, due);
        self.next_late = Some(self.next_late.map_or(due, |next| next.min(due)));
        Ok(())
    }

    /// Makes late rows visible that are due. Called before every access to the portal.
    pub(crate) fn surface(&mut self) {
        let now = Instant::now();
        if self.next_late.is_some_and(|next| next <= now) {
            self.next_late = self.queues_mut().filter_map(|queue| queue.surface(now)).min();
        }
    }
}
