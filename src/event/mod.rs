//! The vocabulary: [`Event`], [`EventId`], [`Offset`], [`Batch`]. No I/O, no async.
//!
//! Keeps I5: `data` passes through byte for byte, because rendering copies the portal's own bytes.

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod line; // events from lines of JSON, and samples
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use b24_client::foreign_text::visible_json;
pub use b24_client::{EventId, OddEvents, Offset};

/// The position of an event in its source's journal: counted from 1 without gaps, in the order in which the portal
/// returned the events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Seq(u64);

impl Seq {
    /// The position of a source's first event.
    pub const FIRST: Self = Self(1);

    /// The sequence number, or `None` if `number` is 0 or too large for a column of the state file.
    pub fn try_new(number: u64) -> Option<Self> {
        (1..=i64::MAX as u64).contains(&number).then_some(Self(number))
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The position `count` events later.
    #[must_use]
    pub fn plus(self, count: usize) -> Self {
        Self(self.0 + count as u64)
    }

    /// The position of the next event.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// How many events lie between `earlier`, included, and this one, excluded.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One queue of one portal, with the names that every output line uses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Queue {
    /// The source's name in the configuration.
    pub source: Arc<str>,
    /// The text that is hashed into the `id` of every event: portal and user, without any secret.
    pub identity: Arc<str>,
    generation: u32,
    stable_prefix: String,
    /// `source` as a JSON string.
    source_json: String,
}

impl Queue {
    /// The queue of `identity` (such as `example.bitrix24.com/user/12`), polled under the name `source`.
    pub fn new(source: &str, identity: &str) -> Self {
        let digest = Sha256::digest(identity.as_bytes());
        let mut tag = [0; 8];
        tag.copy_from_slice(&digest[..8]);
        let stable_prefix = format!("b24_{:016x}_", u64::from_be_bytes(tag));
        let source_json = visible_json(&serde_json::Value::from(source).to_string()).into_owned();
        Self { source: source.into(), identity: identity.into(), generation: 1, stable_prefix, source_json }
    }

    /// The same queue in a later generation of its portal's counter. A restored portal reuses numbers, and its new
    /// events must not get the ids of older events.
    pub fn of_generation(source: &str, identity: &str, generation: u32) -> Self {
        if generation <= 1 {
            return Self::new(source, identity);
        }
        Self { generation, ..Self::new(source, &format!("{identity}/generation/{generation}")) }
    }

    /// The generation of the portal's counter, from 1 on; only correct if the queue was created with one.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The event's stable id: always the same, in every retry, replay and sink (G2). It has no dots, because Standard
    /// Webhooks 1.0 does not allow them in a `webhook-id`.
    pub fn stable_id(&self, id: EventId) -> String {
        format!("{}{id}", self.stable_prefix)
    }

    /// The common prefix of the stable ids of this queue's events. No other queue has the same prefix.
    pub fn stable_prefix(&self) -> &str {
        &self.stable_prefix
    }
}

/// One item of a queue with an unchanged payload.
#[derive(Clone, Debug)]
pub struct Event {
    /// The queue it was read from.
    pub queue: Arc<Queue>,
    /// Its number in the queue.
    pub id: EventId,
    /// The portal's name for its type, such as `ONIMV2MESSAGEADD`; empty if the portal sent none.
    pub kind: String,
    /// The portal's bytes of `date`, with quotes; `null` if the portal sent none.
    pub date: Box<RawValue>,
    /// The portal's bytes of `data`.
    pub data: Box<RawValue>,
}

impl Event {
    /// The time at which the portal recorded the event, in Unix milliseconds by the portal's clock; `None` if `date` is
    /// unreadable. The portal reports whole seconds (PORTAL.md 2.2).
    pub fn date_ms(&self) -> Option<i64> {
        let text: &str = serde_json::from_str(self.date.get()).ok()?;
        text.parse().ok().map(Timestamp::as_millisecond)
    }

    /// Appends the event as one line of JSON, with a final newline (docs/reference/event-format.md).
    pub fn write_line(&self, line: &mut Vec<u8>) {
        let start = line.len();
        self.write_json(line);
        // Inside a JSON string both characters must be escaped, so here they can only be white space.
        for byte in &mut line[start..] {
            // This has no branch, so that the compiler can vectorize it.
            *byte = if matches!(*byte, b'\n' | b'\r') { b' ' } else { *byte };
        }
        line.push(b'\n');
    }

    /// Appends the event as a JSON object. Outside `data`, characters that some readers take for a line break are
    /// escaped.
    pub fn write_json(&self, json: &mut Vec<u8>) {
        let (queue, id) = (&self.queue, self.id);
        // Writing to a Vec cannot fail.
        let _infallible = write!(
            json,
            r#"{{"id":"{}{id}","source":{},"eventId":{id},"type":"#,
            queue.stable_prefix, queue.source_json
        );
        let kind = serde_json::Value::from(self.kind.as_str()).to_string();
        let (kind, date) = (visible_json(&kind), visible_json(self.date.get()));
        let _infallible = write!(json, r#"{kind},"date":{date},"data":"#);
        json.extend_from_slice(self.data.get().as_bytes());
        json.push(b'}');
    }
}

/// An event and its position in the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its sequence number.
    pub seq: Seq,
    /// The event.
    pub event: Event,
}

/// The events of one poll, in order of their ids.
#[derive(Debug, Default)]
pub struct Batch {
    /// Ascending and unique by id.
    pub events: Vec<Event>,
    /// The unreadable events of the page, in order.
    pub odd: Vec<OddEvents>,
    /// Set if the batch was cut at this offset because unreadable events follow.
    pub cut_at: Option<Offset>,
    /// Whether the portal says that more events are waiting.
    pub has_more: bool,
    /// The portal's clock at the time of the answer, in Unix milliseconds, if the answer contains it.
    pub portal_ms: Option<i64>,
}

impl Batch {
    /// The offset after the last event, or `None` for an empty batch.
    pub fn next(&self) -> Option<Offset> {
        self.events.last().map(|event| event.id.next())
    }

    /// Keeps only the events before `odd` in the answer to a poll from `offset` on.
    pub fn cut_before(&mut self, odd: &OddEvents, offset: Offset) {
        let cut_at = odd.after.map_or(offset, EventId::next);
        self.events.retain(|event| odd.after.is_some_and(|after| event.id <= after));
        (self.cut_at, self.has_more) = (Some(cut_at), true);
    }
}
