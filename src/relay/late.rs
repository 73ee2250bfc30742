//! Events that became visible when all around them was confirmed already: later than `confirm_lag` waits for.
//!
//! No lane can deliver them in order any more, so they become dead letters of each sink that wants them (G5).
//! It is done before the poll that showed them counts for anything, and they are in the portal's queue until
//! a later one confirms: a kill in between shows them again.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::warn;

use super::RelayError;
use super::clock::PortalClock;
use super::disk::Disk;
use super::fate::{Appetite, Fate};
use super::graveyard::Graveyard;
use super::opening::Common;
use crate::config::SinkConfig;
use crate::event::{Batch, Event, EventId, Offset, Queue};
use crate::store::{Burial, Store};
use crate::wall_clock;

const REASON: &str = "it became visible in the portal's queue later than `confirm_lag` waits for, when what is \
                      around it was confirmed: the sink was not asked";

/// What became of them.
pub enum Buried {
    /// They are on the disk, if there were any.
    All,
    /// There is no room for them, and why.
    NoRoom(String),
    /// A stop came first.
    CutShort,
}

/// See the top of this file.
pub struct Late {
    queue: Arc<Queue>,
    sinks: Vec<Sink>,
    clock: PortalClock,
    store: Store,
    disk: Disk,
    /// Those that the portal still shows, and that have been dealt with.
    known: BTreeSet<EventId>,
}

struct Sink {
    name: String,
    appetite: Appetite,
    graveyard: Graveyard,
}

impl Late {
    /// Those of `queue`, whose events go to `sinks`.
    pub fn new<'a>(
        queue: &Arc<Queue>,
        sinks: impl Iterator<Item = &'a SinkConfig>,
        clock: PortalClock,
        common: &Common,
    ) -> Self {
        let sinks = sinks.map(|config| Sink {
            name: config.name.clone(),
            appetite: Appetite::new(config),
            graveyard: Graveyard::new(
                &config.name,
                common.delivery.dead_letters,
                &common.store,
                &common.dead_letter_log,
            ),
        });
        Self {
            queue: Arc::clone(queue),
            sinks: sinks.collect(),
            clock,
            store: common.store.clone(),
            disk: common.disk(),
            known: BTreeSet::new(),
        }
    }

    /// Buries what of `batch`, the answer to a poll from `offset` on, is below that.
    ///
    /// # Errors
    /// What ends the process.
    pub async fn bury(&mut self, batch: &Batch, offset: Offset) -> Result<Buried, RelayError> {
        let shown: Vec<&Event> = batch.events.iter().filter(|event| !offset.wants(event.id)).collect();
        self.known.retain(|id| shown.iter().any(|event| event.id == *id));
        let news: Vec<&Event> = shown.into_iter().filter(|event| !self.known.contains(&event.id)).collect();
        if news.is_empty() {
            return Ok(Buried::All);
        }
        let mut burials = Vec::new();
        for event in &news {
            for sink in &self.sinks {
                if sink.appetite.fate(event, None, &self.clock) != Fate::Wanted {
                    continue;
                }
                let burial = burial(event);
                if let Some(reason) = sink.graveyard.has_no_room(&burial).await {
                    return Ok(Buried::NoRoom(format!("sinks.{}: {reason}", sink.name)));
                }
                burials.push((sink.name.clone(), burial));
            }
        }
        let (store, source, burials) = (&self.store, &self.queue.source, Arc::new(burials));
        let written = self.disk.persist("dead letters", move || store.bury(source, Arc::clone(&burials)));
        let Some(letters) = written.await? else { return Ok(Buried::CutShort) };
        let (events, way_out) =
            (news.len(), "`b24relay dead-letters list`; a longer `confirm_lag` waits for them");
        warn!(%source, events, letters, offset = offset.get(), way_out, "events became visible below what was confirmed: they become dead letters");
        self.known.extend(news.iter().map(|event| event.id));
        Ok(Buried::All)
    }
}

fn burial(event: &Event) -> Burial {
    Burial {
        event: event.clone(),
        reason: REASON.to_owned(),
        status: None,
        answer: String::new(),
        attempts: 0,
        first_ms: wall_clock::now_ms(),
    }
}
