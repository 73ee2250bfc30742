//! The journal: events between polling and the lanes, so that the portal may forget them (journal mode).
//!
//! Keeps I3: an append is on the disk when it returns. Events leave only when every lane of their source
//! has settled them, a removed sink's lane included.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::value::RawValue;

use super::{Store, StoreError};
use crate::checkpoint::Checkpoint;
use crate::event::{Event, EventId, Offset, Queue};
use crate::wall_clock::now_ms;

/// The most that one read brings: enough for a fast sink to seldom come to the end of one.
const CHUNK_EVENTS_MAX: usize = 5000;

/// And in bytes; one greater event still comes, alone.
const CHUNK_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How many events one trim deletes: others wait for the file meanwhile.
const TRIM_MAX: u32 = 10_000;

/// What a row takes besides its texts, about.
const ROW_BYTES: usize = 64;

/// A stretch of the journal.
#[derive(Debug)]
pub struct Chunk {
    /// Ascending by id.
    pub events: Vec<Event>,
    /// There was nothing behind it.
    pub is_last: bool,
}

/// Where a sink was put back to.
#[derive(Debug)]
pub struct Rewound {
    /// In which source.
    pub source: String,
    /// The first event that it gets again.
    pub offset: u64,
    /// How many events it gets, those that it has never had among them.
    pub events: u64,
}

/// How full the journal is.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// Of all sources.
    pub bytes: u64,
    /// When the source's oldest event that some sink has not settled was received, in Unix milliseconds.
    pub oldest_ms: Option<i64>,
}

/// One row, as it stands there.
struct Row {
    id: u64,
    kind: String,
    date: String,
    data: String,
    /// It is as it was written.
    is_sealed: bool,
}

impl Store {
    /// Makes `events` durable, but for those that are there already, and that all below `received` is:
    /// whatever of it was ever visible.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn append(
        &self,
        source: &str,
        events: Arc<Vec<Event>>,
        received: Offset,
    ) -> Result<(), StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let mut appended = 0;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO journal (source, id, received_ms, bytes, kind, date, data, seal)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, seal(?1, ?2, ?5, ?6, ?7)) ON CONFLICT DO NOTHING",
                )?;
                let now = now_ms();
                for event in events.iter() {
                    let (date, payload) = (event.date.get(), event.data.get());
                    let bytes = event.kind.len() + date.len() + payload.len() + ROW_BYTES;
                    let row = params![source, event.id.get(), now, bytes, event.kind, date, payload];
                    if insert.execute(row)? > 0 {
                        appended += bytes;
                    }
                }
            }
            transaction
                .prepare_cached(
                    "UPDATE source SET received = max(received, ?2), journal_bytes = journal_bytes + ?3 WHERE name = ?1",
                )?
                .execute(params![source, received.get(), appended])?;
            transaction.commit()
        })
        .await
    }

    /// The events of `queue` that `checkpoint` does not cover, as many as make a chunk.
    ///
    /// # Errors
    /// As [`Store::commit`], and [`StoreError::Damaged`] when a row is no event.
    pub async fn read_journal(
        &self,
        queue: &Arc<Queue>,
        checkpoint: &Checkpoint,
    ) -> Result<Chunk, StoreError> {
        let (source, checkpoint) = (queue.source.to_string(), checkpoint.clone());
        let (rows, is_last) = self
            .run(move |connection| {
                let mut select = connection.prepare_cached(
                    "SELECT id, bytes, kind, date, data, seal = seal(source, id, kind, date, data)
                     FROM journal WHERE source = ?1 AND id >= ?2 ORDER BY id",
                )?;
                let mut found = select.query(params![source, checkpoint.offset().get()])?;
                let (mut rows, mut bytes) = (Vec::new(), 0);
                while let Some(row) = found.next()? {
                    let id: u64 = row.get(0)?;
                    if EventId::try_new(id).is_some_and(|id| checkpoint.covers(id)) {
                        continue;
                    }
                    bytes += row.get::<_, u64>(1)?;
                    if rows.len() == CHUNK_EVENTS_MAX || (bytes > CHUNK_BYTES_MAX && !rows.is_empty()) {
                        return Ok((rows, false));
                    }
                    let is_sealed = row.get(5)?;
                    // What is damaged need not even be text.
                    let text = |column| if is_sealed { row.get(column) } else { Ok(String::new()) };
                    rows.push(Row { id, kind: text(2)?, date: text(3)?, data: text(4)?, is_sealed });
                }
                Ok((rows, true))
            })
            .await?;
        let events = rows.into_iter().map(|row| {
            let id = row.id;
            row.event(queue)
                .ok_or_else(|| self.damaged(format!("event {id} of the journal is not as it was written")))
        });
        Ok(Chunk { events: events.collect::<Result<_, _>>()?, is_last })
    }

    /// Deletes what every lane of the source has settled and what has been kept for `keep`; some of it, if
    /// it is much. While one of `sinks` has no checkpoint yet it may still want everything. Returns how many
    /// events.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn trim_journal(
        &self,
        source: &str,
        sinks: &[String],
        keep: Duration,
    ) -> Result<usize, StoreError> {
        let settled = "id < (SELECT min(offset) FROM checkpoint WHERE source = ?1)";
        self.delete(source, sinks.to_owned(), keep, settled).await
    }

    /// Deletes what has been kept for `keep`, when every lane has settled all there is; some of it, if it
    /// is much. Returns how many events.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn empty_journal(&self, source: &str, keep: Duration) -> Result<usize, StoreError> {
        self.delete(source, Vec::new(), keep, "TRUE").await
    }

    async fn delete(
        &self,
        source: &str,
        sinks: Vec<String>,
        keep: Duration,
        which: &str,
    ) -> Result<usize, StoreError> {
        let source = source.to_owned();
        let kept_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let settled = format!(
            "rowid IN (SELECT rowid FROM journal WHERE source = ?1 AND received_ms <= ?2 AND {which}
             ORDER BY id LIMIT ?3)"
        );
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            if !all_begun(&transaction, &source, &sinks)? {
                return Ok(0);
            }
            let freed: Option<u64> = transaction
                .prepare_cached(&format!("SELECT sum(bytes) FROM journal WHERE {settled}"))?
                .query_row(params![source, now_ms().saturating_sub(kept_ms), TRIM_MAX], |row| row.get(0))?;
            let Some(freed) = freed else { return Ok(0) };
            let deleted = transaction
                .prepare_cached(&format!("DELETE FROM journal WHERE {settled}"))?
                .execute(params![source, now_ms().saturating_sub(kept_ms), TRIM_MAX])?;
            transaction.execute(
                "UPDATE source SET journal_bytes = max(journal_bytes - ?2, 0) WHERE name = ?1",
                params![source, freed],
            )?;
            transaction.commit()?;
            Ok(deleted)
        })
        .await
    }

    /// Puts `sink` back, in `source` or in all, to the first event that the journal received at `from_ms` or
    /// later, in Unix milliseconds: an operator's decision (I4). One that is not even there yet stays where it is.
    ///
    /// # Errors
    /// As [`Store::commit`].
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
                    "SELECT source, min(id), (SELECT count(*) FROM journal AS all_of_them
                         WHERE all_of_them.source = kept.source AND all_of_them.id >= min(kept.id))
                     FROM journal AS kept
                     WHERE received_ms >= ?1 AND source IN
                         (SELECT source FROM checkpoint WHERE sink = ?2 AND source = ifnull(?3, source))
                     GROUP BY source ORDER BY source",
                )?
                .query_map(params![from_ms, sink, source], |row| {
                    Ok(Rewound { source: row.get(0)?, offset: row.get(1)?, events: row.get(2)? })
                })?
                .collect::<rusqlite::Result<_>>()?;
            for Rewound { source, offset, .. } in &rewound {
                transaction.execute(
                    "UPDATE checkpoint SET offset = min(offset, ?3), above = '[]', committed_ms = ?4
                     WHERE source = ?1 AND sink = ?2",
                    params![source, sink, offset, now_ms()],
                )?;
            }
            transaction.commit()?;
            Ok(rewound)
        })
        .await
    }

    /// How full the journal is of what some lane has not settled; what young events stay for, besides, are
    /// a few pages. While one of `sinks` has no checkpoint yet, all of it counts.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn journal_backlog(&self, source: &str, sinks: &[String]) -> Result<Fill, StoreError> {
        let (source, sinks) = (source.to_owned(), sinks.to_owned());
        self.run(move |connection| {
            let has_begun = all_begun(connection, &source, &sinks)?;
            connection.query_row(
                "SELECT ifnull(sum(bytes), 0), min(received_ms) FILTER (WHERE source = ?2) FROM journal
                 WHERE NOT ?1 OR EXISTS (
                     SELECT 1 FROM checkpoint WHERE checkpoint.source = journal.source
                     AND checkpoint.offset <= journal.id
                     AND journal.id NOT IN (SELECT value FROM json_each(checkpoint.above)))",
                params![has_begun, source],
                |row| Ok(Fill { bytes: row.get(0)?, oldest_ms: row.get(1)? }),
            )
        })
        .await
    }

    /// How full the journal is.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn journal_fill(&self, source: &str) -> Result<Fill, StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let bytes = connection
                .prepare_cached("SELECT ifnull(sum(journal_bytes), 0) FROM source")?
                .query_row([], |row| row.get(0))?;
            let oldest_ms = connection
                .prepare_cached(
                    "SELECT received_ms FROM journal WHERE source = ?1
                     AND id >= (SELECT min(offset) FROM checkpoint WHERE source = ?1) ORDER BY id LIMIT 1",
                )?
                .query_row([source], |row| row.get(0))
                .optional()?;
            Ok(Fill { bytes, oldest_ms })
        })
        .await
    }
}

/// Whether each of `sinks` has a checkpoint.
fn all_begun(connection: &Connection, source: &str, sinks: &[String]) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached("SELECT 1 FROM checkpoint WHERE source = ?1 AND sink = ?2")?;
    for sink in sinks {
        if !select.exists(params![source, sink])? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Row {
    fn event(self, queue: &Arc<Queue>) -> Option<Event> {
        self.is_sealed.then_some(())?;
        Some(Event {
            queue: Arc::clone(queue),
            id: EventId::try_new(self.id)?,
            kind: self.kind,
            date: RawValue::from_string(self.date).ok()?,
            data: RawValue::from_string(self.data).ok()?,
        })
    }
}
