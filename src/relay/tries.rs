//! The tries of the event that is next in a lane: since when, how many, how many rejections.

use crate::event::{Event, EventId};
use crate::store::Burial;
use crate::wall_clock;

/// How often a sink rejects an event before it is buried: a deployment half-way may reject anything.
const REJECTIONS_MAX: u32 = 3;

/// See the top of this file.
pub struct Tries {
    id: EventId,
    first_ms: i64,
    count: u32,
    rejections: u32,
}

impl Tries {
    /// The tries of the event `id` so far and one more; of another event none is remembered.
    pub fn counted(before: Option<Self>, id: EventId) -> Self {
        let tries = before.filter(|tries| tries.id == id);
        let tries =
            tries.unwrap_or_else(|| Self { id, first_ms: wall_clock::now_ms(), count: 0, rejections: 0 });
        Self { count: tries.count + 1, ..tries }
    }

    /// Counts a rejection; whether it was the last, as it always is when it `is_final`.
    pub fn ends_with_rejection(&mut self, is_final: bool) -> bool {
        self.rejections += 1;
        is_final || self.rejections >= REJECTIONS_MAX
    }

    /// The last rites of `event`.
    pub fn burial(&self, event: &Event, reason: &str, status: Option<u16>, answer: &str) -> Burial {
        Burial {
            event: event.clone(),
            reason: reason.to_owned(),
            status,
            answer: answer.to_owned(),
            attempts: self.count,
            first_ms: self.first_ms,
        }
    }
}
