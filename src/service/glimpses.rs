//! The latest events, where the operator wants the page to show them: chats of people, so not without being asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Event;

/// How many are kept.
const COUNT_MAX: usize = 10;

/// How many letters are kept of the data of one.
const LENGTH_MAX: usize = 2000;

/// One event, as far as it is shown.
#[derive(Clone, Debug)]
pub struct Glimpse {
    /// The source's name.
    pub source: String,
    /// The event's type.
    pub kind: String,
    /// Its number.
    pub id: u64,
    /// The beginning of its data.
    pub data: String,
}

/// See the top of this file. Clones share everything.
#[derive(Clone, Default)]
pub struct Glimpses(Option<Arc<Mutex<VecDeque<Glimpse>>>>);

impl Glimpses {
    /// They are kept only where they are to be shown.
    pub fn new(are_shown: bool) -> Self {
        Self(are_shown.then(Arc::default))
    }

    /// These were just read.
    pub fn note(&self, events: &[Event]) {
        let Some(kept) = &self.0 else { return };
        let mut kept = lock(kept);
        for event in events.iter().rev().take(COUNT_MAX).rev() {
            kept.push_back(Glimpse {
                source: event.queue.source.to_string(),
                kind: event.kind.clone(),
                id: event.id.get(),
                data: event.data.get().chars().take(LENGTH_MAX).collect(),
            });
            if kept.len() > COUNT_MAX {
                kept.pop_front();
            }
        }
    }

    /// Those that are kept, latest first.
    pub fn latest(&self) -> Vec<Glimpse> {
        self.0.as_ref().map(|kept| lock(kept).iter().rev().cloned().collect()).unwrap_or_default()
    }
}

fn lock(kept: &Mutex<VecDeque<Glimpse>>) -> MutexGuard<'_, VecDeque<Glimpse>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
