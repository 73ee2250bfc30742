//! The state file: every line of SQL, and the lock that makes it ours alone.
//!
//! Keeps I3 (a commit is on the disk when it returns: WAL with `synchronous = FULL`) and I4 (a
//! checkpoint never moves back: the update refuses it).

mod error;
mod lock;
mod report;
mod schema;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

pub use error::StoreError;
use lock::Lock;
pub use report::{LaneReport, Report, SourceReport};

use crate::event::{Offset, Queue};

/// How long a statement waits for a reader (`status`, a backup) before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a commit makes durable of one lane.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The checkpoint: all below it is settled.
    pub offset: Offset,
    /// How many events were delivered since the commit before.
    pub delivered: u64,
    /// How many were left out by the sink's filter since the commit before.
    pub filtered: u64,
}

/// The state file, open and locked. Cheap to clone; work is done off the runtime's threads.
#[derive(Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    path: Arc<Path>,
    _lock: Arc<Lock>,
}

impl Store {
    /// Opens the state file, creating it and its folder when they are missing, and locks it.
    ///
    /// # Errors
    /// See [`StoreError`]; whatever is wrong, nothing that was there is overwritten.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = Lock::acquire(path)?;
        schema::create_file(path)?;
        let fail = |error| StoreError::from_sqlite(path, &error);
        let mut connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(fail)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
        schema::prepare(&mut connection, path)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), path: path.into(), _lock: Arc::new(lock) })
    }

    /// What the state file at `path` holds, read without the lock and without changing anything.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn report(path: &Path) -> Result<Report, StoreError> {
        report::read(path)
    }

    /// Records which queue a source reads, or checks that it is still the same one, and returns the
    /// checkpoint of every sink that has one.
    ///
    /// # Errors
    /// [`StoreError::OtherQueue`] when the source has read another queue so far.
    pub async fn adopt(&self, queue: &Queue) -> Result<HashMap<String, Offset>, StoreError> {
        let (source, identity) = (Arc::clone(&queue.source), Arc::clone(&queue.identity));
        let (known, checkpoints) = self.run(move |connection| adopt(connection, &source, &identity)).await?;
        if *known != *queue.identity {
            let (source_name, now) = (queue.source.to_string(), queue.identity.to_string());
            return Err(StoreError::OtherQueue { source_name, known, now });
        }
        // The table's CHECK keeps offsets at 1 and above.
        Ok(checkpoints
            .into_iter()
            .filter_map(|(sink, offset)| Some((sink, Offset::try_new(offset)?)))
            .collect())
    }

    /// Makes durable that `sink` has settled everything of `source` below the progress's offset.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the disk does not take it: try again, nothing has changed.
    pub async fn commit(&self, source: &str, sink: &str, progress: Progress) -> Result<(), StoreError> {
        let (source, sink) = (source.to_owned(), sink.to_owned());
        self.run(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO checkpoint (source, sink, offset, committed_ms, delivered, filtered)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT DO UPDATE SET
                         offset = excluded.offset, committed_ms = excluded.committed_ms,
                         delivered = delivered + excluded.delivered, filtered = filtered + excluded.filtered
                     WHERE excluded.offset > checkpoint.offset",
                )?
                .execute(params![
                    source,
                    sink,
                    progress.offset.get(),
                    now_ms(),
                    progress.delivered,
                    progress.filtered
                ])
        })
        .await
        .map(|_| ())
    }

    /// Notes for `status` how a source is doing: when its last poll finished (`polled`: just now),
    /// and `trouble` in words, empty when there is none.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_source(&self, source: &str, polled: bool, trouble: &str) -> Result<(), StoreError> {
        let (source, trouble) = (source.to_owned(), trouble.to_owned());
        self.run(move |connection| {
            connection.execute(
                "UPDATE source SET trouble = ?2, polled_ms = iif(?3, ?4, polled_ms) WHERE name = ?1",
                params![source, trouble, polled, now_ms()],
            )
        })
        .await
        .map(|_| ())
    }

    /// Notes for `status` what keeps a sink from settling a source's events; empty when nothing does.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_lane(&self, source: &str, sink: &str, trouble: &str) -> Result<(), StoreError> {
        let (source, sink, trouble) = (source.to_owned(), sink.to_owned(), trouble.to_owned());
        self.run(move |connection| {
            connection.execute(
                "INSERT INTO checkpoint (source, sink, offset, committed_ms, trouble) VALUES (?1, ?2, 1, ?4, ?3)
                 ON CONFLICT DO UPDATE SET trouble = excluded.trouble",
                params![source, sink, trouble, now_ms()],
            )
        })
        .await
        .map(|_| ())
    }

    /// Runs `work` on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (connection, path) = (Arc::clone(&self.connection), Arc::clone(&self.path));
        let task = tokio::task::spawn_blocking(move || {
            // A panic in `work` leaves no half-done transaction behind: SQLite rolls it back.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection).map_err(|error| StoreError::from_sqlite(&path, &error))
        });
        task.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// The queue on record for `source`, new or known, and the offset of each sink that has one.
fn adopt(
    connection: &mut Connection,
    source: &str,
    identity: &str,
) -> rusqlite::Result<(String, Vec<(String, u64)>)> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT INTO source (name, identity, adopted_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![source, identity, now_ms()],
    )?;
    // What troubled an earlier run is history. Without any, nothing is written: a start on a full disk works.
    transaction.execute("UPDATE source SET trouble = '' WHERE name = ?1 AND trouble <> ''", [source])?;
    transaction
        .execute("UPDATE checkpoint SET trouble = '' WHERE source = ?1 AND trouble <> ''", [source])?;
    let known =
        transaction.query_row("SELECT identity FROM source WHERE name = ?1", [source], |row| row.get(0))?;
    let checkpoints = transaction
        .prepare("SELECT sink, offset FROM checkpoint WHERE source = ?1")?
        .query_map([source], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    transaction.commit()?;
    Ok((known, checkpoints))
}

/// The wall clock in Unix milliseconds; for people to read, never for decisions.
fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A neighbour of the state file: its path with `suffix` appended.
fn neighbour(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The first value of the first row, if there is a row.
fn first<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> rusqlite::Result<Option<T>> {
    connection.query_row(sql, [], |row| row.get(0)).optional()
}
