//! How events get into the queues: under which date, and when they show (PORTAL.md 2.2, 2.9).
//!
//! Keeps: an id is allotted when its event is recorded, and never later. Lateness is told by the
//! machine's clock, since the portal's can stand still.

use std::sync::Arc;
use std::time::Instant;

use crate::queue::owner::OrderError;
use crate::queue::owner::Reader;
use crate::queue::row::Row;
use crate::state::portal::Portal;

impl Portal {
    /// A row under the next id, dated by the database's clock.
    pub fn row(&mut self, now_s: i64, kind: Arc<str>, data: Arc<str>) -> Row {
        Row::new(self.allot(), now_s, kind, data).dated(now_s.saturating_add(self.switches.date_skew_s))
    }

    /// Writes `row` into the queue of `reader`, where it shows at once or, if the switch wants it so, late.
    ///
    /// # Errors
    ///
    /// When there is no such user or bot.
    pub fn write(&mut self, reader: Reader, row: Row) -> Result<(), OrderError> {
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

    /// Shows the late rows whose time has come. Nobody looks at the portal without that.
    pub fn surface(&mut self) {
        let now = Instant::now();
        if self.next_late.is_some_and(|next| next <= now) {
            self.next_late = self.queues_mut().filter_map(|queue| queue.surface(now)).min();
        }
    }
}
