//! The ids and offsets of a queue, and one page of it.

use std::fmt;
use std::ops::Range;

use serde_json::value::RawValue;

/// The portal's number of an event: unique on the whole portal, ascending, never reused (PORTAL.md 2.2). At least 1 and
/// at most `i64::MAX`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventId(u64);

impl EventId {
    /// The id, or `None` if `id` is 0 or leaves no room for the next offset.
    pub fn try_new(id: u64) -> Option<Self> {
        (1..i64::MAX as u64).contains(&id).then_some(Self(id))
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The offset at which this event is the first one that is still needed.
    pub fn as_offset(self) -> Offset {
        Offset(self.0)
    }

    /// The offset after this event: this event and all earlier ones are done.
    pub fn next(self) -> Offset {
        Offset(self.0 + 1)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A position in a queue: the lowest event id that is still needed (PORTAL.md 2.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Offset(u64);

impl Offset {
    /// The beginning of every queue. As an argument of a poll it confirms nothing, but makes the portal ignore its
    /// stale "nothing pending" marker (PORTAL.md 2.4).
    pub const START: Self = Self(1);

    /// The offset, or `None` if `offset` is 0 or does not fit the portal's 64-bit counter.
    pub fn try_new(offset: u64) -> Option<Self> {
        (1..=i64::MAX as u64).contains(&offset).then_some(Self(offset))
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The lowest id that is still needed.
    pub fn first_wanted(self) -> EventId {
        EventId(self.0)
    }

    /// Whether a lane at this offset still has to settle `id`.
    pub fn wants(self, id: EventId) -> bool {
        id.0 >= self.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One event of a queue, as the portal sent it.
#[derive(Clone, Debug)]
pub struct PageEvent {
    /// Its number in the queue.
    pub id: EventId,
    /// The portal's name for its type, such as `ONIMV2MESSAGEADD`; empty if the portal sent none.
    pub kind: String,
    /// The portal's bytes of `date`, with quotes; `null` if the portal sent none.
    pub date: Box<RawValue>,
    /// The portal's bytes of `data`.
    pub data: Box<RawValue>,
}

/// One page of a queue: the answer to one poll.
#[derive(Debug, Default)]
pub struct Page {
    /// Ascending and unique by id, and none below the requested offset.
    pub events: Vec<PageEvent>,
    /// How many events the portal had sent twice or from below the offset; they are not in `events`.
    pub repeated: usize,
    /// The unreadable events of the page, in order.
    pub odd: Vec<OddEvents>,
    /// Whether the portal says that more events are waiting.
    pub has_more: bool,
    /// The portal's clock at the time of the answer, in Unix milliseconds, if the answer contains it.
    pub portal_ms: Option<i64>,
}

/// Neighbouring events of one page that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OddEvents {
    /// The last good event before them in the page.
    pub after: Option<EventId>,
    /// The first good event after them.
    pub before: Option<EventId>,
    /// How many there are.
    pub count: usize,
    /// The error in the first of them, without its content.
    pub reason: String,
    /// The position of the first of them in the answer, in bytes.
    pub place: Range<usize>,
}

impl OddEvents {
    /// The last id before them in the answer to a poll from `offset` on. All events up to this id are complete.
    pub fn last_good(&self, offset: Offset) -> u64 {
        self.after.map_or(offset.get() - 1, EventId::get)
    }

    /// Their position and the error, in words.
    pub fn told(&self) -> String {
        let after = self.after.map_or("at the beginning".to_owned(), |id| format!("after event {id}"));
        let before = self.before.map_or("at the end".to_owned(), |id| format!("before event {id}"));
        let several = if self.count > 1 { format!(", the first of {}", self.count) } else { String::new() };
        format!("{after}, {before}: {}{several}", self.reason)
    }
}
