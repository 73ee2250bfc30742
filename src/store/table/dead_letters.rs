//! Dead letters: events that a sink will never take, kept for the operator.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde_json::value::RawValue;

use crate::event::{Event, EventId, Queue};
use crate::store::error::StoreError;
use crate::store::file::lock::Lock;
use crate::store::file::place::location;
use crate::store::handle::Store;
use crate::store::report::sources;
use crate::wall_clock::now_ms;

/// The first columns of [`DeadLetterBody`].
const LETTER_COLUMNS: &str =
    "number, sink, source, queue, id, buried_ms, first_ms, attempts, bytes, reason, status, kind, answer";

/// The size of a sink's dead letters and the time of the oldest.
const SELECT_ROOM: &str = "SELECT ifnull(sum(bytes), 0), min(buried_ms) FROM dead_letter WHERE sink = ?1";

/// A sink's dead letters, oldest first, with those of one source before all others.
const SELECT_OLDEST: &str = "SELECT number, bytes FROM dead_letter WHERE sink = ?1
                             ORDER BY source = ?2 DESC, buried_ms, number";

/// A rejected event that becomes a dead letter.
#[derive(Clone, Debug)]
pub struct NewDeadLetter {
    /// The event.
    pub event: Event,
    /// Why the sink will not take it, without secrets.
    pub reason: String,
    /// The status of its answer, if it gave one.
    pub status: Option<u16>,
    /// The beginning of its answer, without secrets; bytes that are no text are replaced.
    pub answer: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried first, in Unix milliseconds.
    pub first_ms: i64,
}

impl NewDeadLetter {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        let Event { kind, date, data, .. } = &self.event;
        let lengths = [kind.len(), date.get().len(), data.get().len(), self.reason.len(), self.answer.len()];
        lengths.into_iter().sum::<usize>() as u64
    }
}

/// A dead letter as it is listed.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Counted from 1 in the state file; a letter keeps its number.
    pub number: u64,
    /// The sink that rejected the event.
    pub sink: String,
    /// The source's name when it was buried.
    pub source: String,
    /// The queue that the event was read from.
    pub queue: String,
    /// The event's id in that queue.
    pub event_id: u64,
    /// When it was buried, in Unix milliseconds.
    pub buried_ms: i64,
    /// When it was tried first, in Unix milliseconds.
    pub first_ms: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// Its size in bytes.
    pub bytes: u64,
    /// Why the sink rejected the event, the last time.
    pub reason: String,
    /// The status of the sink's answer, if it gave one.
    pub status: Option<u16>,
    /// The event's type.
    pub kind: String,
}

impl DeadLetter {
    /// The permanent id of the event, the same for every sink.
    pub fn stable_id(&self) -> String {
        let queue = Queue::new(&self.source, &self.queue);
        format!("{}{}", queue.stable_prefix(), self.event_id)
    }
}

/// A dead letter with its full content.
#[derive(Clone, Debug)]
pub struct DeadLetterBody {
    /// The fields that are listed.
    pub letter: DeadLetter,
    /// The beginning of the sink's last answer.
    pub answer: String,
    /// The event, with its payload untouched.
    pub event: Event,
}

/// Selects the dead letters that match all given conditions.
#[derive(Clone, Default, Debug)]
pub struct DeadLetterFilter {
    /// With one of these numbers; empty means any.
    pub numbers: Vec<u64>,
    /// From one of these sinks; empty means any.
    pub sinks: Vec<String>,
    /// From one of these sources; empty means any.
    pub sources: Vec<String>,
    /// With one of these events, by number or stable id; empty means any.
    pub ids: Vec<String>,
    /// Buried at this moment or later, in Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Buried at this moment or earlier, in Unix milliseconds.
    pub until_ms: Option<i64>,
    /// With this text in the reason or in the answer, ignoring case.
    pub reason: Option<String>,
}

impl DeadLetterFilter {
    fn means(&self, letter: &DeadLetter, answer: &str) -> bool {
        let has = |names: &[String], name: &str| names.is_empty() || names.iter().any(|other| other == name);
        let is_said = |text: &String| {
            let text = text.to_lowercase();
            letter.reason.to_lowercase().contains(&text) || answer.to_lowercase().contains(&text)
        };
        (self.numbers.is_empty() || self.numbers.contains(&letter.number))
            && has(&self.sinks, &letter.sink)
            && has(&self.sources, &letter.source)
            && (has(&self.ids, &letter.event_id.to_string()) || has(&self.ids, &letter.stable_id()))
            && self.since_ms.is_none_or(|since_ms| letter.buried_ms >= since_ms)
            && self.until_ms.is_none_or(|until_ms| letter.buried_ms <= until_ms)
            && self.reason.as_ref().is_none_or(is_said)
    }
}

/// The total of one sink's dead letters.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetterStats {
    /// Their size in bytes.
    pub bytes: u64,
    /// When the oldest one was buried, in Unix milliseconds.
    pub oldest_ms: Option<i64>,
}

/// The dead letters that were deleted to make room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DroppedDeadLetters {
    /// Their number.
    pub letters: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// The exclusive right to remove dead letters, while it is held. Without it two processes might send one letter twice.
pub struct DeadLettersLock {
    _lock: Lock,
}

impl Store {
    /// The total of the dead letters of `sink`. An index covers the query, so no payload is read.
    pub async fn stats(&self, sink: &str) -> Result<DeadLetterStats, StoreError> {
        let sink = sink.to_owned();
        self.run(move |connection| {
            connection
                .prepare_cached(SELECT_ROOM)?
                .query_row([sink], |row| Ok(DeadLetterStats { bytes: row.get(0)?, oldest_ms: row.get(1)? }))
        })
        .await
    }

    /// Deletes the oldest dead letters of `sink`, those of `source` first, until at least `bytes` are free or no letter
    /// is left.
    pub async fn drop_oldest_letters(
        &self,
        sink: &str,
        source: &str,
        bytes: u64,
    ) -> Result<DroppedDeadLetters, StoreError> {
        let (sink, source) = (sink.to_owned(), source.to_owned());
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let dropped = drop_oldest(&transaction, &sink, &source, bytes)?;
            transaction.commit()?;
            Ok(dropped)
        })
        .await
    }

    /// The dead letters of the state file at `path` that match `filter`, in the order in which they were stored. Takes no lock
    /// and changes nothing.
    pub fn letters_at(path: &Path, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, StoreError> {
        let connection = location::visit(path, sources::open)?;
        select(&connection, filter).map_err(|error| StoreError::from_sqlite(path, &error))
    }

    /// The dead letter with this number in the state file at `path`, read in the same way as by [`Store::letters_at`].
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when its event cannot be read, and the errors of [`Store::report`].
    pub fn letter_at(path: &Path, number: u64) -> Result<Option<DeadLetterBody>, StoreError> {
        let connection = location::visit(path, sources::open)?;
        let found = open(&connection, number).map_err(|error| StoreError::from_sqlite(path, &error))?;
        found.transpose().map_err(|detail| StoreError::Damaged { path: path.to_owned(), detail })
    }

    /// Takes the exclusive right to remove dead letters from the state file at `path`.
    ///
    /// # Errors
    /// [`StoreError::Replaying`] when another process has it.
    pub fn lock_letters(path: &Path) -> Result<DeadLettersLock, StoreError> {
        Ok(DeadLettersLock { _lock: location::visit(path, Lock::acquire_letters)? })
    }

    /// The dead letter with this number, if it is still there.
    pub async fn letter(&self, number: u64) -> Result<Option<DeadLetterBody>, StoreError> {
        let found = self.read(move |connection| open(connection, number)).await?;
        found.transpose().map_err(|detail| self.damaged(detail))
    }

    /// Removes the dead letter of an event that its sink has now. If the event was buried again meanwhile, that letter
    /// is removed, because it is for the same event.
    pub async fn remove(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let DeadLetter { sink, queue, event_id, .. } = letter.clone();
        self.run(move |connection| {
            connection.execute(
                "DELETE FROM dead_letter WHERE sink = ?1 AND queue = ?2 AND id = ?3",
                params![sink, queue, event_id],
            )
        })
        .await
        .map(|_| ())
    }

    /// Records that a sink has rejected the event of a dead letter again.
    pub async fn rebury(&self, number: u64, rejection: Rejection) -> Result<(), StoreError> {
        let Rejection { reason, status, answer, attempts } = rejection;
        self.run(move |connection| {
            connection.execute(
                "UPDATE dead_letter SET attempts = attempts + ?5, reason = ?2, status = ?3, answer = ?4,
                     bytes = max(bytes - octet_length(reason) - octet_length(answer), 0)
                         + octet_length(?2) + octet_length(?4)
                 WHERE number = ?1",
                params![number, reason, status, answer, attempts],
            )
        })
        .await
        .map(|_| ())
    }

    /// Deletes the dead letters with these numbers, all or none. Returns how many still existed.
    pub async fn discard(&self, numbers: Vec<u64>) -> Result<usize, StoreError> {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let mut count = 0;
            for number in numbers {
                count += transaction
                    .prepare_cached("DELETE FROM dead_letter WHERE number = ?1")?
                    .execute([number])?;
            }
            transaction.commit()?;
            Ok(count)
        })
        .await
    }
}

/// Why a sink has rejected the event of a dead letter again.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// See [`NewDeadLetter::reason`].
    pub reason: String,
    /// See [`NewDeadLetter::status`].
    pub status: Option<u16>,
    /// See [`NewDeadLetter::answer`].
    pub answer: String,
    /// How often it was tried since.
    pub attempts: u32,
}

fn select(connection: &Connection, filter: &DeadLetterFilter) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut select =
        connection.prepare(&format!("SELECT {LETTER_COLUMNS} FROM dead_letter ORDER BY number"))?;
    let mut rows = select.query([])?;
    let mut letters = Vec::new();
    while let Some(row) = rows.next()? {
        let letter = letter(row)?;
        if filter.means(&letter, row.get_ref(12)?.as_str()?) {
            letters.push(letter);
        }
    }
    Ok(letters)
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        number: row.get(0)?,
        sink: row.get(1)?,
        source: row.get(2)?,
        queue: row.get(3)?,
        event_id: row.get(4)?,
        buried_ms: row.get(5)?,
        first_ms: row.get(6)?,
        attempts: row.get(7)?,
        bytes: row.get(8)?,
        reason: row.get(9)?,
        status: row.get(10)?,
        kind: row.get(11)?,
    })
}

/// The letter, or the reason why it cannot be read.
fn open(connection: &Connection, number: u64) -> rusqlite::Result<Option<Result<DeadLetterBody, String>>> {
    let sql = format!("SELECT {LETTER_COLUMNS}, date, data FROM dead_letter WHERE number = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([number], |row| {
            let (letter, answer) = (letter(row)?, row.get(12)?);
            let event = event(&letter, row.get(13)?, row.get(14)?);
            let detail = format!("dead letter {number} cannot be read");
            Ok(event.map(|event| DeadLetterBody { letter, answer, event }).ok_or(detail))
        })
        .optional()
}

fn event(letter: &DeadLetter, date: String, payload: String) -> Option<Event> {
    Some(Event {
        queue: Arc::new(Queue::new(&letter.source, &letter.queue)),
        id: EventId::try_new(letter.event_id)?,
        kind: letter.kind.clone(),
        date: RawValue::from_string(date).ok()?,
        data: RawValue::from_string(payload).ok()?,
    })
}

fn drop_oldest(
    transaction: &Transaction<'_>,
    sink: &str,
    source: &str,
    bytes: u64,
) -> rusqlite::Result<DroppedDeadLetters> {
    let mut oldest = transaction.prepare_cached(SELECT_OLDEST)?;
    let mut rows = oldest.query(params![sink, source])?;
    let (mut numbers, mut dropped) = (Vec::new(), DroppedDeadLetters::default());
    while dropped.bytes < bytes
        && let Some(row) = rows.next()?
    {
        numbers.push(row.get::<_, u64>(0)?);
        dropped.letters += 1;
        dropped.bytes += row.get::<_, u64>(1)?;
    }
    for number in numbers {
        transaction.prepare_cached("DELETE FROM dead_letter WHERE number = ?1")?.execute([number])?;
    }
    Ok(dropped)
}

/// Inserts the dead letter within the transaction that moves the checkpoint past the event. An existing one is
/// replaced.
pub(super) fn bury(
    transaction: &Transaction<'_>,
    sink: &str,
    new_letter: &NewDeadLetter,
) -> rusqlite::Result<()> {
    let NewDeadLetter { event, reason, status, answer, attempts, first_ms } = new_letter;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO dead_letter (sink, source, queue, id, buried_ms, first_ms, attempts, bytes,
                 reason, status, answer, kind, date, data, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
                 seal(?1, ?2, ?3, ?4, ?12, ?13, ?14))",
        )?
        .execute(params![
            sink,
            event.queue.source,
            event.queue.identity,
            event.id.get(),
            now_ms(),
            first_ms,
            attempts,
            new_letter.size(),
            reason,
            status,
            answer,
            event.kind,
            event.date.get(),
            event.data.get()
        ])
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index that covers these queries.
    const INDEX: &str =
        "CREATE INDEX IF NOT EXISTS dead_letter_room ON dead_letter (sink, source, bytes, buried_ms)";

    #[tokio::test]
    async fn room_is_looked_for_without_reading_payloads() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("b24relay.db")).unwrap();
        for (sql, count) in [(SELECT_ROOM, 1), (SELECT_OLDEST, 2)] {
            let plan: Vec<String> = store
                .run(move |connection| {
                    connection.execute_batch(INDEX)?;
                    let names = ["crm", "support"];
                    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    let rows =
                        explain.query_map(rusqlite::params_from_iter(&names[..count]), |row| row.get(3))?;
                    rows.collect()
                })
                .await
                .unwrap();
            assert!(plan[0].contains("USING COVERING INDEX dead_letter_room (sink=?)"), "{plan:?}");
        }
    }
}
