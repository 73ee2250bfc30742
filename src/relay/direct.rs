//! Direct mode: what is not settled by every lane is not confirmed, and nothing else is read meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::RelayError;
use super::disk::Disk;
use super::dispatcher::{dispatch, least_checkpoint};
use super::gap::gap_event;
use super::lane::{Lane, Settled};
use super::opening::Common;
use crate::checkpoint::Checkpoint;
use crate::event::{Event, Offset, Queue};
use crate::shutdown::Signals;
use crate::store::{Gap, Store};

/// The lanes of one source.
pub struct Direct {
    queue: Arc<Queue>,
    lanes: Vec<Lane>,
    store: Store,
    signals: Signals,
    disk: Disk,
    keep: Duration,
}

impl Direct {
    pub fn new(queue: &Arc<Queue>, lanes: Vec<Lane>, common: &Common) -> Self {
        Self {
            queue: Arc::clone(queue),
            lanes,
            store: common.store.clone(),
            signals: common.signals.clone(),
            disk: common.disk(),
            keep: common.delivery.journal.keep,
        }
    }

    /// Commits that nothing else will appear below `floor`, and returns from where to poll; `None` when a
    /// stop came first.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn raise(&mut self, floor: Offset, confirmed: Offset) -> Result<Option<Offset>, RelayError> {
        let settled = dispatch(&mut self.lanes, &[], floor, confirmed).await?;
        Ok((settled == Settled::All).then(|| least_checkpoint(&self.lanes)))
    }

    /// Has every lane settle `events`.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn take(
        &mut self,
        events: &[Event],
        floor: Offset,
        confirmed: Offset,
    ) -> Result<Settled, RelayError> {
        dispatch(&mut self.lanes, events, floor, confirmed).await
    }

    /// Tells every sink of a gap.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn announce(&mut self, gap: &Gap) -> Result<Settled, RelayError> {
        let Some(event) = gap_event(&self.queue, gap) else { return Ok(Settled::All) };
        for lane in &mut self.lanes {
            if lane.announce(&event, gap.number).await? == Settled::CutShort {
                return Ok(Settled::CutShort);
            }
        }
        Ok(Settled::All)
    }

    /// Has every lane settle what an earlier run in journal mode has left: the portal has forgotten all of
    /// it below `received`.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn drain_journal(&mut self, received: Offset) -> Result<Settled, RelayError> {
        let least = self.lanes.iter().map(|lane| lane.checkpoint().offset()).min().unwrap_or(received);
        let mut read = Checkpoint::at(least);
        loop {
            let (store, queue, done) = (&self.store, &self.queue, &read);
            let chunk = self.disk.persist("journal", move || store.read_journal(queue, done));
            let Some(chunk) = chunk.await? else { return Ok(Settled::CutShort) };
            let end = chunk.events.last().map(|event| event.id.next());
            let complete = end.filter(|_| !chunk.is_last).map_or(received, |end| end.min(received));
            if self.take(&chunk.events, complete, Offset::START).await? == Settled::CutShort {
                return Ok(Settled::CutShort);
            }
            if chunk.is_last {
                break;
            }
            if self.signals.stop.is_cancelled() {
                return Ok(Settled::CutShort);
            }
            chunk.events.iter().for_each(|event| read.settle(event.id));
            read.raise(complete);
        }
        while was_emptied(&self.store, &self.queue, self.keep).await {}
        Ok(Settled::All)
    }
}

/// Whether there was anything to delete; a disk that does not let us is no reason to wait.
async fn was_emptied(store: &Store, queue: &Queue, keep: Duration) -> bool {
    store.empty_journal(&queue.source, keep).await.is_ok_and(|count| count > 0)
}
