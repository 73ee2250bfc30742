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
pub struct Glimpses(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    are_shown: bool,
    latest: VecDeque<Glimpse>,
}

impl Glimpses {
    /// They are kept only while they are to be shown.
    pub fn show(&self, are_shown: bool) {
        let mut kept = self.kept();
        kept.are_shown = are_shown;
        if !are_shown {
            kept.latest.clear();
        }
    }

    /// These were just read.
    pub fn note(&self, events: &[Event]) {
        let mut kept = self.kept();
        if !kept.are_shown {
            return;
        }
        for event in events.iter().rev().take(COUNT_MAX).rev() {
            kept.latest.push_back(Glimpse {
                source: event.queue.source.to_string(),
                kind: event.kind.clone(),
                id: event.id.get(),
                data: event.data.get().chars().take(LENGTH_MAX).collect(),
            });
            if kept.latest.len() > COUNT_MAX {
                kept.latest.pop_front();
            }
        }
    }

    /// Those that are kept, latest first.
    pub fn latest(&self) -> Vec<Glimpse> {
        self.kept().latest.iter().rev().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
