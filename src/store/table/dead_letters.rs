//! Dead letters: events that a sink will never take, kept for a person.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde_json::value::RawValue;

use crate::event::{Event, EventId, Queue};
use crate::store::error::StoreError;
use crate::store::file::lock::Lock;
use crate::store::file::place;
use crate::store::handle::Store;
use crate::store::report::sources;
use crate::wall_clock::now_ms;

/// What precedes the columns of [`OpenLetter`].
const LETTER_COLUMNS: &str =
    "number, sink, source, queue, id, buried_ms, first_ms, attempts, bytes, reason, status, kind, answer";

/// The size of a sink's dead letters and the time of the oldest.
const SELECT_ROOM: &str = "SELECT ifnull(sum(bytes), 0), min(buried_ms) FROM dead_letter WHERE sink = ?1";

/// A sink's dead letters, the oldest first, those of one source before all others.
const SELECT_OLDEST: &str = "SELECT number, bytes FROM dead_letter WHERE sink = ?1
                             ORDER BY source = ?2 DESC, buried_ms, number";

/// The last rites of one event.
#[derive(Clone, Debug)]
pub struct Burial {
    /// The event.
    pub event: Event,
    /// Why the sink will not take it, without secrets.
    pub reason: String,
    /// The status of its answer, if it gave one.
    pub status: Option<u16>,
    /// The beginning of its answer, without secrets; what is no text in it replaced.
    pub answer: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried first, in Unix milliseconds.
    pub first_ms: i64,
}

impl Burial {
    /// How much it takes.
    pub fn size(&self) -> u64 {
        let Event { kind, date, data, .. } = &self.event;
        let lengths = [kind.len(), date.get().len(), data.get().len(), self.reason.len(), self.answer.len()];
        lengths.into_iter().sum::<usize>() as u64
    }
}

/// A dead letter as it is listed.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Counted from 1 in the state file; a letter keeps its number.
    pub number: u64,
    /// The sink that has rejected the event.
    pub sink: String,
    /// The source's name when it was buried.
    pub source: String,
    /// The queue that the event was read from.
    pub queue: String,
    /// The event's number there.
    pub event_id: u64,
    /// When it was buried, in Unix milliseconds.
    pub buried_ms: i64,
    /// When it was tried first, in Unix milliseconds.
    pub first_ms: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// How much it takes.
    pub bytes: u64,
    /// Why the sink did not take it, the last time.
    pub reason: String,
    /// The status of the sink's answer, if it gave one.
    pub status: Option<u16>,
    /// The event's type.
    pub kind: String,
}

impl Letter {
    /// The event's id for ever, as every sink has got or will get it.
    pub fn stable_id(&self) -> String {
        let queue = Queue::new(&self.source, &self.queue);
        format!("{}{}", queue.stable_prefix(), self.event_id)
    }
}

/// A dead letter with all that is in it.
#[derive(Clone, Debug)]
pub struct OpenLetter {
    /// What is written on it.
    pub letter: Letter,
    /// The beginning of the sink's last answer.
    pub answer: String,
    /// The event, its bytes untouched.
    pub event: Event,
}

/// Which dead letters are meant: those of which all that is given holds.
#[derive(Clone, Default, Debug)]
pub struct LetterFilter {
    /// Those with one of these numbers, unless there are none.
    pub numbers: Vec<u64>,
    /// Those of one of these sinks, unless there are none.
    pub sinks: Vec<String>,
    /// Those of one of these sources, unless there are none.
    pub sources: Vec<String>,
    /// Those of one of these events, by number or stable id, unless there are none.
    pub ids: Vec<String>,
    /// Those buried at this moment or later, in Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Those buried at this moment or earlier.
    pub until_ms: Option<i64>,
    /// Those with this text in the reason or in the answer, in upper or lower case.
    pub reason: Option<String>,
}

impl LetterFilter {
    fn means(&self, letter: &Letter, answer: &str) -> bool {
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

/// How much there is of one sink's dead letters.
#[derive(Clone, Copy, Debug)]
pub struct Graves {
    /// The size of all.
    pub bytes: u64,
    /// When the oldest one was buried, in Unix milliseconds.
    pub oldest_ms: Option<i64>,
}

/// What was deleted to make room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DroppedLetters {
    /// How many.
    pub letters: u64,
    /// Their size.
    pub bytes: u64,
}

/// The right to take dead letters out, while it is held: whoever else wanted to might send one again.
pub struct LettersLock {
    _lock: Lock,
}

impl Store {
    /// How much there is of the dead letters of `sink`. An index has all of it, so that no payload is read.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn graves(&self, sink: &str) -> Result<Graves, StoreError> {
        let sink = sink.to_owned();
        self.run(move |connection| {
            connection
                .prepare_cached(SELECT_ROOM)?
                .query_row([sink], |row| Ok(Graves { bytes: row.get(0)?, oldest_ms: row.get(1)? }))
        })
        .await
    }

    /// Deletes the oldest dead letters of `sink`, those of `source` first, until at least `bytes` are free or none is
    /// left.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn drop_oldest_letters(
        &self,
        sink: &str,
        source: &str,
        bytes: u64,
    ) -> Result<DroppedLetters, StoreError> {
        let (sink, source) = (sink.to_owned(), source.to_owned());
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let dropped = drop_oldest(&transaction, &sink, &source, bytes)?;
            transaction.commit()?;
            Ok(dropped)
        })
        .await
    }

    /// The dead letters of the state file at `path` that `filter` means, in the order of their burial; read
    /// without any lock and without changing anything.
    ///
    /// # Errors
    /// As [`Store::report`].
    pub fn letters_at(path: &Path, filter: &LetterFilter) -> Result<Vec<Letter>, StoreError> {
        let connection = place::visit(path, sources::open)?;
        select(&connection, filter).map_err(|error| StoreError::from_sqlite(path, &error))
    }

    /// The dead letter with this number in the state file at `path`; read as by [`Store::letters_at`].
    ///
    /// # Errors
    /// As [`Store::report`], and [`StoreError::Damaged`] when its event cannot be read.
    pub fn letter_at(path: &Path, number: u64) -> Result<Option<OpenLetter>, StoreError> {
        let connection = place::visit(path, sources::open)?;
        let found = open(&connection, number).map_err(|error| StoreError::from_sqlite(path, &error))?;
        found.transpose().map_err(|detail| StoreError::Damaged { path: path.to_owned(), detail })
    }

    /// Takes the right to take dead letters out of the state file at `path`.
    ///
    /// # Errors
    /// [`StoreError::Replaying`] when another process has it.
    pub fn lock_letters(path: &Path) -> Result<LettersLock, StoreError> {
        Ok(LettersLock { _lock: place::visit(path, Lock::acquire_letters)? })
    }

    /// The dead letter with this number, if it is still there.
    ///
    /// # Errors
    /// As [`Store::letter_at`].
    pub async fn letter(&self, number: u64) -> Result<Option<OpenLetter>, StoreError> {
        let found = self.read(move |connection| open(connection, number)).await?;
        found.transpose().map_err(|detail| self.damaged(detail))
    }

    /// Takes out the dead letter of an event that its sink has now. One that was buried anew meanwhile is
    /// the same event's.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn exhume(&self, letter: &Letter) -> Result<(), StoreError> {
        let Letter { sink, queue, event_id, .. } = letter.clone();
        self.run(move |connection| {
            connection.execute(
                "DELETE FROM dead_letter WHERE sink = ?1 AND queue = ?2 AND id = ?3",
                params![sink, queue, event_id],
            )
        })
        .await
        .map(|_| ())
    }

    /// Notes that a sink has rejected the event of a dead letter once more.
    ///
    /// # Errors
    /// As [`Store::commit`].
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

    /// Lets go of the dead letters with these numbers, all or none; returns how many were still there.
    ///
    /// # Errors
    /// As [`Store::commit`].
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

/// Why a sink did not take the event of a dead letter either.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// As [`Burial::reason`].
    pub reason: String,
    /// As [`Burial::status`].
    pub status: Option<u16>,
    /// As [`Burial::answer`].
    pub answer: String,
    /// How often it was tried since.
    pub attempts: u32,
}

fn select(connection: &Connection, filter: &LetterFilter) -> rusqlite::Result<Vec<Letter>> {
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

fn letter(row: &Row<'_>) -> rusqlite::Result<Letter> {
    Ok(Letter {
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

/// The letter, or what is wrong with it.
fn open(connection: &Connection, number: u64) -> rusqlite::Result<Option<Result<OpenLetter, String>>> {
    let sql = format!("SELECT {LETTER_COLUMNS}, date, data FROM dead_letter WHERE number = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([number], |row| {
            let (letter, answer) = (letter(row)?, row.get(12)?);
            let event = event(&letter, row.get(13)?, row.get(14)?);
            let detail = format!("dead letter {number} cannot be read");
            Ok(event.map(|event| OpenLetter { letter, answer, event }).ok_or(detail))
        })
        .optional()
}

fn event(letter: &Letter, date: String, payload: String) -> Option<Event> {
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
) -> rusqlite::Result<DroppedLetters> {
    let mut oldest = transaction.prepare_cached(SELECT_OLDEST)?;
    let mut rows = oldest.query(params![sink, source])?;
    let (mut numbers, mut dropped) = (Vec::new(), DroppedLetters::default());
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

/// Within the transaction that passes the event by. One that lies there already is replaced.
pub(super) fn bury(transaction: &Transaction<'_>, sink: &str, burial: &Burial) -> rusqlite::Result<()> {
    let Burial { event, reason, status, answer, attempts, first_ms } = burial;
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
            burial.size(),
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

    /// The index of the table that has all that these queries need.
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
