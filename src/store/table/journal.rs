//! The journal: the events that polls returned, in the order in which the portal showed them, between polling and the
//! lanes.
//!
//! One row is a record batch: up to [`BATCH_EVENTS_MAX`] events with their ids, and their bytes as they came. So the
//! cost of writing follows polls and not events. Keeps I3: when an append returns, it is on disk, and so is how far the
//! source has read. Batches are deleted only when every lane of their source is past them, including the lane of a
//! removed sink. No statement here reads more of the journal than it returns or deletes.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::value::RawValue;

use crate::event::Seq;
use crate::event::{Entry, Event, EventId, Offset, Queue};
use crate::store::error::StoreError;
use crate::store::file::space;
use crate::store::handle::Store;
use crate::store::table::sources::Gap;
use crate::wall_clock::now_ms;

/// The most events in one row.
const BATCH_EVENTS_MAX: usize = 1000;

/// The most bytes in one row. A larger event still gets a row, alone.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// How many rows and bytes one trim deletes at most: commits wait for it.
const TRIM_ROWS: usize = 64;
const TRIM_BYTES: u64 = 2 * 1024 * 1024;

/// The generation of gap events, which belong to no queue of the portal.
const OF_GAPS: u32 = 0;

/// The size that is counted for an event besides its texts, in bytes.
const EVENT_BYTES: usize = 40;

/// How far a source has read its queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// The generation of the portal's counter, from 1.
    pub generation: u32,
    /// The sequence number of the next event.
    pub next: Seq,
    /// The portal no longer has the events before it. It may still have the later ones.
    pub open: Seq,
    /// The portal was asked to forget everything below it.
    pub confirmed: Offset,
    /// No unread event of this generation can appear up to this id; 0 before that is known.
    pub grown: u64,
    /// Everything below it is settled although the journal never had it: by an older layout, or by the operator's
    /// decision.
    pub floor: Offset,
    /// The last events that were read, to detect a restored portal: `[[id, date in ms or null, hash], ...]`.
    pub marks: String,
}

impl Reading {
    /// The position in a queue that was never read.
    pub fn beginning() -> Self {
        Self {
            generation: 1,
            next: Seq::FIRST,
            open: Seq::FIRST,
            confirmed: Offset::START,
            grown: 0,
            floor: Offset::START,
            marks: "[]".to_owned(),
        }
    }
}

/// The events of a poll, and how far the source has read with them.
#[derive(Debug)]
pub struct Append {
    /// They are all of the reading's generation, and come directly before its `next`.
    pub events: Vec<Event>,
    /// How far the source has read.
    pub reading: Reading,
}

/// The position that a sink was moved back to.
#[derive(Debug)]
pub struct Rewound {
    /// The source.
    pub source: String,
    /// The sequence number of the first event that it receives again.
    pub seq: u64,
    /// How many events it receives, including those that it has never had.
    pub events: u64,
}

/// A row, before it is written or after it was read.
struct Row {
    first: Seq,
    count: usize,
    ids: String,
    body: Vec<u8>,
}

/// A row that was read.
struct Found {
    row: Row,
    generation: u32,
    /// It is as it was written, because its seal matches.
    is_sealed: bool,
}

impl Store {
    /// Makes the events of a poll durable. Returns how many bytes the journal has grown by.
    pub async fn append(&self, source: &str, append: Arc<Append>) -> Result<u64, StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let Append { events, reading } = append.as_ref();
            let mut first = Seq::try_new(reading.next.get() - events.len() as u64).unwrap_or(Seq::FIRST);
            let (mut rest, mut bytes) = (&events[..], 0);
            while !rest.is_empty() {
                let (row, others) = Row::of(first, rest);
                bytes += insert(&transaction, &source, reading.generation, &row)?;
                (first, rest) = (first.plus(row.count), others);
            }
            write_reading(&transaction, &source, reading, bytes)?;
            transaction.commit()?;
            Ok(bytes)
        })
        .await
    }

    /// Reads events of `queue`, in any generation, from `from` on, out of rows of up to about `bytes`. Also returns the
    /// sequence number after the last of these rows.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a row is not as it was written, and the errors of [`Store::commit`].
    pub async fn read_journal(
        &self,
        queue: &Arc<Queue>,
        from: Seq,
        bytes: usize,
    ) -> Result<(Vec<Entry>, Seq), StoreError> {
        let source = queue.source.to_string();
        let found = self.read(move |connection| select(connection, &source, from, bytes)).await?;
        let (mut entries, mut end) = (Vec::new(), from);
        for Found { row, generation, is_sealed } in found {
            let queue = match generation {
                OF_GAPS => Arc::new(gap_queue(queue)),
                1 => Arc::clone(queue),
                _ => Arc::new(Queue::of_generation(&queue.source, &queue.identity, generation)),
            };
            let damaged =
                || self.damaged(format!("event {} of the journal is not as it was written", row.first));
            let decoded = if is_sealed { row.decode(&queue, from) } else { None };
            entries.extend(decoded.ok_or_else(damaged)?);
            end = row.first.plus(row.count);
        }
        Ok((entries, end))
    }

    /// Appends the event that tells sinks of the gap `number` of `queue`, unless that was done before. Returns the
    /// event, and how many bytes the journal has grown by.
    pub async fn tell_gap(
        &self,
        queue: &Arc<Queue>,
        number: u64,
    ) -> Result<Option<(Event, u64)>, StoreError> {
        let queue = Arc::clone(queue);
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let untold = transaction
                .prepare(
                    "SELECT from_ms, to_ms, next_seq FROM gap JOIN source ON name = source
                     WHERE source = ?1 AND number = ?2 AND NOT is_told",
                )?
                .query_row(params![queue.source, number], |row| {
                    let gap = Gap { number, from_ms: row.get(0)?, to_ms: row.get(1)? };
                    Ok((gap, row.get::<_, u64>(2)?))
                })
                .optional()?;
            let Some((gap, next)) = untold else { return Ok(None) };
            let first = Seq::try_new(next).ok_or(rusqlite::Error::InvalidQuery)?;
            let event = gap.event(Arc::new(gap_queue(&queue))).ok_or(rusqlite::Error::InvalidQuery)?;
            let (row, _) = Row::of(first, std::slice::from_ref(&event));
            let bytes = insert(&transaction, &queue.source, OF_GAPS, &row)?;
            transaction.execute(
                "UPDATE source SET next_seq = ?2, journal_bytes = journal_bytes + ?3 WHERE name = ?1",
                params![queue.source, first.next().get(), bytes],
            )?;
            transaction.execute(
                "UPDATE gap SET is_told = 1 WHERE source = ?1 AND number = ?2",
                params![queue.source, number],
            )?;
            transaction.commit()?;
            Ok(Some((event, bytes)))
        })
        .await
    }

    /// Deletes rows that lie before `below` and that have been kept for `keep`. If there are many, it deletes some of
    /// them. Returns how many rows and bytes were deleted.
    pub async fn trim_journal(
        &self,
        source: &str,
        below: Seq,
        keep: Duration,
    ) -> Result<(usize, u64), StoreError> {
        let source = source.to_owned();
        let kept_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let (mut rows, mut bytes, mut end) = (0, 0u64, None);
            let now = now_ms();
            {
                let mut select = transaction.prepare_cached(
                    "SELECT first, count, received_ms, bytes FROM batch WHERE source = ?1 ORDER BY first",
                )?;
                let mut found = select.query([&source])?;
                while let Some(row) = found.next()? {
                    let (first, count, received_ms): (u64, u64, i64) =
                        (row.get(0)?, row.get(1)?, row.get(2)?);
                    // A row received while this machine's clock was ahead has been kept for long enough.
                    let is_kept = received_ms > now.saturating_sub(kept_ms) && received_ms <= now;
                    if first + count > below.get() || is_kept || rows == TRIM_ROWS || bytes > TRIM_BYTES {
                        break;
                    }
                    (rows, bytes, end) = (rows + 1, bytes + row.get::<_, u64>(3)?, Some(first));
                }
            }
            let Some(end) = end else { return Ok((0, 0)) };
            transaction
                .prepare_cached("DELETE FROM batch WHERE source = ?1 AND first <= ?2")?
                .execute(params![source, end])?;
            transaction
                .prepare_cached(
                    "UPDATE source SET journal_bytes = max(journal_bytes - ?2, 0) WHERE name = ?1",
                )?
                .execute(params![source, bytes])?;
            transaction.commit()?;
            Ok((rows, bytes))
        })
        .await
    }

    /// Returns some of the space that trims have freed to the disk, if there is more than `reserve` bytes of it. The
    /// result says whether there was any to return.
    pub async fn shrink(&self, reserve: u64) -> Result<bool, StoreError> {
        self.run(move |connection| space::shrink(connection, reserve)).await
    }

    /// When the event at `seq`, or the next existing one, was received, in Unix milliseconds.
    pub async fn received_ms(&self, source: &str, seq: Seq) -> Result<Option<i64>, StoreError> {
        let source = source.to_owned();
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT received_ms FROM batch WHERE source = ?1
                     AND first >= ifnull((SELECT max(first) FROM batch WHERE source = ?1 AND first <= ?2), 0)
                     AND first + count > ?2 ORDER BY first LIMIT 1",
                )?
                .query_row(params![source, seq.get()], |row| row.get(0))
                .optional()
        })
        .await
    }

    /// Moves `sink` back, in `source` or in all sources, to the first event that the journal received at `from_ms` or
    /// later, in Unix milliseconds: an operator's decision (I4). A lane that has not reached that event stays where it
    /// is.
    pub async fn rewind(
        &self,
        sink: &str,
        source: Option<&str>,
        from_ms: i64,
    ) -> Result<Vec<Rewound>, StoreError> {
        let (sink, source) = (sink.to_owned(), source.map(str::to_owned));
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let rewound: Vec<Rewound> = transaction
                .prepare(
                    "SELECT source, min(first), source.next_seq - min(first)
                     FROM batch JOIN source ON source.name = batch.source
                     WHERE received_ms >= ?1 AND source IN
                         (SELECT source FROM lane WHERE sink = ?2 AND source = ifnull(?3, source))
                     GROUP BY source ORDER BY source",
                )?
                .query_map(params![from_ms, sink, source], |row| {
                    Ok(Rewound { source: row.get(0)?, seq: row.get(1)?, events: row.get(2)? })
                })?
                .collect::<rusqlite::Result<_>>()?;
            for Rewound { source, seq, .. } in &rewound {
                transaction.execute(
                    "UPDATE lane SET next = min(next, ?3), above = iif(next > ?3, '[]', above),
                         inherited = '', committed_ms = ?4
                     WHERE source = ?1 AND sink = ?2",
                    params![source, sink, seq, now_ms()],
                )?;
            }
            transaction.commit()?;
            Ok(rewound)
        })
        .await
    }
}

/// The queue of the gap events of `queue`. Their ids are not the portal's.
fn gap_queue(queue: &Queue) -> Queue {
    Queue::new(&queue.source, &format!("{}/gap", queue.identity))
}

/// Writes how far the source has read.
fn write_reading(
    transaction: &Transaction<'_>,
    source: &str,
    reading: &Reading,
    bytes: u64,
) -> rusqlite::Result<()> {
    let Reading { generation, next, open, confirmed, grown, floor, marks } = reading;
    transaction
        .prepare_cached(
            "UPDATE source SET generation = ?2, next_seq = ?3, open_seq = ?4, confirmed = ?5, floor = ?6,
                 marks = ?7, journal_bytes = journal_bytes + ?8, grown = ?9 WHERE name = ?1",
        )?
        .execute(params![
            source,
            generation,
            next.get(),
            open.get(),
            confirmed.get(),
            floor.get(),
            marks,
            bytes,
            grown
        ])
        .map(|_| ())
}

/// Writes a row and returns how many bytes are new. A row that an attempt has written already, whose answer got lost,
/// is the same.
fn insert(transaction: &Transaction<'_>, source: &str, generation: u32, row: &Row) -> rusqlite::Result<u64> {
    let Row { first, count, ids, body } = row;
    let bytes = (body.len() + count * EVENT_BYTES) as u64;
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO batch (source, first, count, generation, received_ms, bytes, ids, body, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, seal(?1, ?2, ?3, ?4, ?7, ?8)) ON CONFLICT DO NOTHING",
        )?
        .execute(params![source, first.get(), count, generation, now_ms(), bytes, ids, body])?;
    Ok(if inserted > 0 { bytes } else { 0 })
}

fn select(
    connection: &mut Connection,
    source: &str,
    from: Seq,
    bytes: usize,
) -> rusqlite::Result<Vec<Found>> {
    let mut select = connection.prepare_cached(
        "SELECT first, count, generation, ids, body, seal = seal(source, first, count, generation, ids, body)
         FROM batch WHERE source = ?1
         AND first >= ifnull((SELECT max(first) FROM batch WHERE source = ?1 AND first <= ?2), 0)
         ORDER BY first",
    )?;
    let mut rows = select.query(params![source, from.get()])?;
    let (mut found, mut size) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (first, count): (u64, usize) = (row.get(0)?, row.get(1)?);
        if first + count as u64 <= from.get() {
            continue;
        }
        size += row.get_ref(4)?.as_blob()?.len();
        if size > bytes && !found.is_empty() {
            break;
        }
        let is_sealed = row.get(5)?;
        // Damaged ids need not even be text.
        let ids = if is_sealed { row.get(3)? } else { String::new() };
        let first = Seq::try_new(first).ok_or(rusqlite::Error::InvalidQuery)?;
        found.push(Found {
            row: Row { first, count, ids, body: row.get(4)? },
            generation: row.get(2)?,
            is_sealed,
        });
    }
    Ok(found)
}

impl Row {
    /// Makes a row of as many of `events` as fit, the first of which is at `first`. Also returns the others.
    fn of(first: Seq, events: &[Event]) -> (Self, &[Event]) {
        let (mut ids, mut body) = (Vec::new(), Vec::new());
        for event in events.iter().take(BATCH_EVENTS_MAX) {
            let (kind, date, payload) = (event.kind.as_str(), event.date.get(), event.data.get());
            if !ids.is_empty() && body.len() + payload.len() > BATCH_BYTES_MAX {
                break;
            }
            ids.push(event.id.get());
            // Writing to a Vec cannot fail.
            let _infallible = writeln!(body, "{} {} {}", kind.len(), date.len(), payload.len());
            for text in [kind, date, payload] {
                body.extend_from_slice(text.as_bytes());
            }
        }
        let (count, ids_text) = (ids.len(), serde_json::to_string(&ids).unwrap_or_default());
        (Self { first, count, ids: ids_text, body }, &events[count..])
    }

    /// The events from `from` on; `None` when the row is malformed.
    fn decode(&self, queue: &Arc<Queue>, from: Seq) -> Option<Vec<Entry>> {
        let ids: Vec<u64> = serde_json::from_str(&self.ids).ok()?;
        if ids.len() != self.count {
            return None;
        }
        let (mut rest, mut entries) = (&self.body[..], Vec::new());
        for (place, id) in ids.into_iter().enumerate() {
            let header = rest.iter().position(|byte| *byte == b'\n')?;
            let lengths = std::str::from_utf8(&rest[..header]).ok()?;
            rest = &rest[header + 1..];
            let mut texts = lengths.split(' ').map(|length| {
                let (text, others) = rest.split_at_checked(length.parse().ok()?)?;
                rest = others;
                std::str::from_utf8(text).ok()
            });
            let (kind, date, payload) = (texts.next()??, texts.next()??, texts.next()??);
            let seq = self.first.plus(place);
            if seq < from {
                continue;
            }
            let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
            let event = Event {
                queue: Arc::clone(queue),
                id: EventId::try_new(id)?,
                kind: kind.to_owned(),
                date: raw(date)?,
                data: raw(payload)?,
            };
            entries.push(Entry { seq, event });
        }
        Some(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(queue: &Arc<Queue>, id: u64, size: usize) -> Event {
        Event {
            queue: Arc::clone(queue),
            id: EventId::try_new(id).unwrap(),
            kind: "ONIMV2MESSAGEADD".into(),
            date: RawValue::from_string("\"2025-01-15T10:30:00+02:00\"".into()).unwrap(),
            data: RawValue::from_string(format!("{{\n\"text\": \"{}\"}}", "ы".repeat(size))).unwrap(),
        }
    }

    #[test]
    fn rows_hold_what_they_were_made_of_byte_for_byte() {
        let queue = Arc::new(Queue::new("support", "example.bitrix24.com/user/12"));
        let events: Vec<Event> =
            [(9, 1), (4, 200_000), (5, 0), (7, 300_000)].map(|(id, size)| event(&queue, id, size)).into();
        let (mut rest, mut first, mut found, mut rows) = (&events[..], Seq::FIRST, Vec::new(), 0);
        while !rest.is_empty() {
            let (row, others) = Row::of(first, rest);
            found.extend(row.decode(&queue, Seq::FIRST).unwrap());
            assert_eq!(row.decode(&queue, first.next()).unwrap().len(), row.count - 1);
            (first, rest, rows) = (first.plus(row.count), others, rows + 1);
        }
        assert_eq!(rows, 4);
        assert_eq!(found.len(), events.len());
        for (number, (entry, event)) in (1..).zip(found.iter().zip(&events)) {
            assert_eq!((entry.seq.get(), entry.event.id), (number, event.id));
            assert_eq!(entry.event.data.get(), event.data.get());
        }
    }

    #[test]
    fn a_row_that_is_cut_is_none() {
        let queue = Arc::new(Queue::new("support", "example.bitrix24.com/user/12"));
        let events = [event(&queue, 1, 3), event(&queue, 2, 3)];
        let (row, _) = Row::of(Seq::FIRST, &events);
        for length in 0..row.body.len() {
            let body = row.body[..length].to_owned();
            let cut = Row { ids: row.ids.clone(), body, ..row };
            assert!(cut.decode(&queue, Seq::FIRST).is_none(), "{length}");
        }
    }
}
