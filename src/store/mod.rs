//! The state file: every line of SQL, and the lock that makes it ours alone.
//!
//! Keeps I3 (a commit is on the disk when it returns: WAL with `synchronous = FULL`) and I4 (a
//! checkpoint never moves back but by [`Store::set_offset`]: the update refuses it).

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
    /// What the portal has been told to forget up to now.
    pub confirmed: Offset,
}

/// What the state file knows of a source's queue.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// The checkpoint of each sink that has one.
    pub checkpoints: HashMap<String, Offset>,
    /// The portal has forgotten all below it: nothing there can come again.
    pub confirmed: Offset,
}

/// How a source is doing, for `status`.
#[derive(Clone, Debug)]
pub struct Health {
    /// Its last poll finished just now.
    pub has_polled: bool,
    /// What keeps it from polling; empty when nothing does.
    pub trouble: String,
    /// As [`Adopted::confirmed`]; never moves back.
    pub confirmed: Offset,
}

/// The state file, open. Cheap to clone; work is done off the runtime's threads.
#[derive(Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
    path: Arc<Path>,
    /// Held by the one process that polls; not by a command beside it.
    _lock: Option<Arc<Lock>>,
}

impl Store {
    /// Opens the state file, creating it and its folder when they are missing, and locks it.
    ///
    /// # Errors
    /// See [`StoreError`]; whatever is wrong, nothing that was there is overwritten.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = Lock::acquire(path)?;
        Self::open_with(path, Some(Arc::new(lock)))
    }

    /// Opens the state file for a command that may work beside a running daemon, and keeps nobody from
    /// starting one: it is for [`Store::keep`] and [`Store::recall`], and leaves checkpoints alone.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::Locked`] only when an older program runs on it.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        match Lock::acquire(path) {
            // Held for the moment in which the layout may change.
            Ok(_lock) => Self::open_with(path, None),
            Err(StoreError::Locked { .. }) if schema::is_current(path)? => Self::open_with(path, None),
            Err(error) => Err(error),
        }
    }

    fn open_with(path: &Path, lock: Option<Arc<Lock>>) -> Result<Self, StoreError> {
        schema::create_file(path)?;
        let fail = |error| StoreError::from_sqlite(path, &error);
        let mut connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(fail)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
        schema::prepare(&mut connection, path)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), path: path.into(), _lock: lock })
    }

    /// What the state file at `path` holds, read without the lock and without changing anything.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn report(path: &Path) -> Result<Report, StoreError> {
        report::read(path)
    }

    /// Records which queue a source reads, or checks that it is still the same one, and returns what is
    /// known of it.
    ///
    /// # Errors
    /// [`StoreError::OtherQueue`] when the source has read another queue so far.
    pub async fn adopt(&self, queue: &Queue) -> Result<Adopted, StoreError> {
        let (source, identity) = (Arc::clone(&queue.source), Arc::clone(&queue.identity));
        let OnRecord { identity: known, confirmed, checkpoints } =
            self.run(move |connection| adopt(connection, &source, &identity)).await?;
        if *known != *queue.identity {
            let (source_name, now) = (queue.source.to_string(), queue.identity.to_string());
            return Err(StoreError::OtherQueue { source_name, known, now });
        }
        // The tables' CHECKs keep offsets at 1 and above.
        let checkpoints =
            checkpoints.into_iter().filter_map(|(sink, offset)| Some((sink, Offset::try_new(offset)?)));
        Ok(Adopted {
            checkpoints: checkpoints.collect(),
            confirmed: Offset::try_new(confirmed).unwrap_or(Offset::START),
        })
    }

    /// Makes durable that `sink` has settled everything of `source` below the progress's offset.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the disk does not take it: try again, nothing has changed.
    pub async fn commit(&self, source: &str, sink: &str, progress: Progress) -> Result<(), StoreError> {
        let (source, sink) = (source.to_owned(), sink.to_owned());
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            transaction
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
                ])?;
            transaction
                .prepare_cached("UPDATE source SET confirmed = ?2 WHERE name = ?1 AND confirmed < ?2")?
                .execute(params![source, progress.confirmed.get()])?;
            transaction.commit()
        })
        .await
    }

    /// Lets a source read another queue than so far, an operator's decision: what is known of the old
    /// one is forgotten.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn forget_queue(&self, source: &str) -> Result<(), StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            transaction.execute("DELETE FROM checkpoint WHERE source = ?1", [&source])?;
            transaction.execute("DELETE FROM source WHERE name = ?1", [&source])?;
            transaction.commit()
        })
        .await
    }

    /// Puts the checkpoints of a source's sinks at `offset`, forward or back: an operator's decision
    /// (I4). The source must have been adopted; `sinks` are those that get one if they have none yet.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn set_offset(
        &self,
        source: &str,
        sinks: Vec<String>,
        offset: Offset,
    ) -> Result<(), StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            // The portal may have counted anew: what it has once forgotten says nothing any more.
            transaction
                .execute("UPDATE source SET confirmed = 1, trouble = '' WHERE name = ?1", [&source])?;
            transaction.execute(
                "UPDATE checkpoint SET offset = ?2, committed_ms = ?3 WHERE source = ?1",
                params![source, offset.get(), now_ms()],
            )?;
            for sink in sinks {
                transaction.execute(
                    "INSERT INTO checkpoint (source, sink, offset, committed_ms) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO NOTHING",
                    params![source, sink, offset.get(), now_ms()],
                )?;
            }
            transaction.commit()
        })
        .await
    }

    /// Keeps `value` under `key`, whatever it means to whoever keeps it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn keep(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.run(move |connection| {
            connection.execute(
                "INSERT INTO memory (key, value, kept_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET value = excluded.value, kept_ms = excluded.kept_ms",
                params![key, value, now_ms()],
            )
        })
        .await
        .map(|_| ())
    }

    /// What was kept under `key`, by whichever process.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn recall(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.run(move |connection| {
            connection
                .query_row("SELECT value FROM memory WHERE key = ?1", [key], |row| row.get(0))
                .optional()
        })
        .await
    }

    /// Notes for `status` how a source is doing.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_source(&self, source: &str, health: Health) -> Result<(), StoreError> {
        let source = source.to_owned();
        let Health { has_polled, trouble, confirmed } = health;
        self.run(move |connection| {
            connection.execute(
                "INSERT INTO source (name, identity, adopted_ms, trouble) VALUES (?1, '', ?4, ?2)
                 ON CONFLICT DO UPDATE SET trouble = ?2, polled_ms = iif(?3, ?4, polled_ms),
                     confirmed = max(confirmed, ?5)",
                params![source, trouble, has_polled, now_ms(), confirmed.get()],
            )
        })
        .await
        .map(|_| ())
    }

    /// Counts that the portal had stopped recording for a source: there is a hole in what it has seen.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_loss(&self, source: &str) -> Result<(), StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            connection.execute("UPDATE source SET losses = losses + 1 WHERE name = ?1", [source])
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

/// The queue on record for `source`, new or known, what the portal has forgotten, and the offset of each
/// sink that has one.
fn adopt(connection: &mut Connection, source: &str, identity: &str) -> rusqlite::Result<OnRecord> {
    let transaction = connection.transaction()?;
    transaction.execute(
        // A source that nobody had logged in for has no identity yet.
        "INSERT INTO source (name, identity, adopted_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET identity = excluded.identity WHERE identity = ''",
        params![source, identity, now_ms()],
    )?;
    // What troubled an earlier run is history. Without any, nothing is written: a start on a full disk works.
    transaction.execute("UPDATE source SET trouble = '' WHERE name = ?1 AND trouble <> ''", [source])?;
    transaction
        .execute("UPDATE checkpoint SET trouble = '' WHERE source = ?1 AND trouble <> ''", [source])?;
    let (identity, confirmed) =
        transaction.query_row("SELECT identity, confirmed FROM source WHERE name = ?1", [source], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let checkpoints = transaction
        .prepare("SELECT sink, offset FROM checkpoint WHERE source = ?1")?
        .query_map([source], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    transaction.commit()?;
    Ok(OnRecord { identity, confirmed, checkpoints })
}

/// A source's rows.
struct OnRecord {
    identity: String,
    confirmed: u64,
    checkpoints: Vec<(String, u64)>,
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
