//! The latest events, shown on the page only if the operator enables it, because they contain people's chats.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Event;

/// How many events are kept.
const COUNT_MAX: usize = 10;

/// How many characters of each event's data are kept.
const LENGTH_MAX: usize = 2000;

/// One event, shortened for the page.
#[derive(Clone, Debug)]
pub struct RecentEvent {
    /// The source's name.
    pub source: String,
    /// The event's type.
    pub kind: String,
    /// Its number.
    pub id: u64,
    /// The beginning of its data.
    pub data: String,
}

/// The latest events. Clones share them.
#[derive(Clone, Default)]
pub struct RecentEvents(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    are_shown: bool,
    latest: VecDeque<RecentEvent>,
}

impl RecentEvents {
    /// Enables or disables the display; if disabled, no events are kept.
    pub fn show(&self, are_shown: bool) {
        let mut kept = self.kept();
        kept.are_shown = are_shown;
        if !are_shown {
            kept.latest.clear();
        }
    }

    /// Records events that were just read.
    pub fn note(&self, events: &[Event]) {
        let mut kept = self.kept();
        if !kept.are_shown {
            return;
        }
        for event in events.iter().rev().take(COUNT_MAX).rev() {
            kept.latest.push_back(RecentEvent {
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

    /// The kept events, latest first.
    pub fn latest(&self) -> Vec<RecentEvent> {
        self.kept().latest.iter().rev().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
