//! The state file: every line of SQL, and the lock that makes the file ours alone.
//!
//! Keeps I3: a commit is on disk when it returns (WAL with `synchronous = FULL`). A file that cannot be trusted is
//! never used.
//!
//! Where to look:
//! - `place` finds the one file that a path leads to, and `owner` works with its owner's rights.
//! - `lock` and `guard` keep a second daemon out. `database` checks that the file stays where it was opened.
//! - `lanes` has the checkpoints, and `pauses` pauses and resumes lanes. `sources` has the notes about sources, and
//!   `skips` the events that the operator has given up.
//! - `journal` has the events on their way, and `dead_letters` the rejected ones.
//! - `file` and `wal` check the file from outside, `schema` and `seal` from inside, `page_check` every page of a big
//!   one, and `inspection` all of it for the operator.
//! - `backup` copies the file, and `space` lets it shrink.

mod backup;
mod database;
mod dead_letters;
mod error;
mod file;
mod folder;
mod guard;
mod identity;
mod in_use;
mod inspection;
mod journal;
mod lanes;
mod lock;
mod lookout;
mod owner;
mod page_check;
mod pauses;
mod place;
mod report;
mod rows;
mod schema;
mod seal;
mod simulation;
mod skips;
mod sources;
mod space;
#[cfg(test)]
mod tests;
mod undelivered;
mod wait;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::blocking;
use crate::wall_clock::now_ms;

pub use backup::Copied;
use database::{Database, Files};
pub use dead_letters::{
    Burial, DroppedLetters, Graves, Letter, LetterFilter, LettersLock, OpenLetter, Rejection,
};
pub use error::StoreError;
use guard::Guard;
pub use inspection::{Finding, Inspection, Soundness, Verdict};
pub use journal::{Append, Reading, Rewound};
pub use lanes::{Adopted, Inherited, LaneNote, LaneRecord, LaneState, Progress, Tally};
use lock::Lock;
pub use lookout::Lookout;
use page_check::PageCheck;
pub use pauses::Resumed;
pub use report::{GapReport, GraveReport, LaneReport, MoveReport, Report, SourceReport};
use schema::Pages;
pub use simulation::{LaneView, View};
pub use skips::Skip;
pub use sources::{Activity, GAP_KIND, Gap, Health, SourceNote};
pub use undelivered::Undelivered;
use wait::{Wait, Waits};

/// How long a statement waits for a reader (`status`, a backup) before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many idle connections that only read stay open.
const READERS_MAX: usize = 4;

/// How many statements stay prepared: more than the paths of events use.
const STATEMENTS: usize = 32;

/// The place of the state.
#[derive(Clone)]
enum Disk {
    Real(Arc<Files>),
    /// In memory only. The function says how long an access takes, or why it fails.
    Simulated(fn() -> Result<Duration, String>),
}

impl Disk {
    fn files(&self) -> Option<Arc<Files>> {
        match self {
            Self::Real(files) => Some(Arc::clone(files)),
            Self::Simulated(_) => None,
        }
    }
}

/// The state file, open. Clones are cheap, and the work is done off the runtime's threads.
#[derive(Clone)]
pub struct Store {
    /// The check of a big file, while it runs.
    page_check: Option<Arc<PageCheck>>,
    /// Idle connections that only read. They are closed first: the last connection that closes removes the log.
    readers: Arc<Mutex<Vec<Connection>>>,
    database: Arc<Mutex<Database>>,
    path: Arc<Path>,
    disk: Disk,
    /// Damage that was found while the file is open. Nothing is written after that.
    damage: Arc<OnceLock<String>>,
    /// Contains the lock of the one process that polls. A command beside it has none.
    waits: Option<Arc<Waits>>,
}

impl Store {
    /// Opens the state file and locks it. The file and its folder are created when they are missing.
    ///
    /// # Errors
    /// See [`StoreError`]. No error overwrites anything that was there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        visit_made(path, |state| Self::open_with(state, Some(Waits::new(Lock::acquire(state)?))))
    }

    /// Opens the state file for a command that may work beside a running daemon, and that does not prevent the start of
    /// one. It is for [`Store::keep`], [`Store::recall`] and [`Store::resume`], and leaves checkpoints alone.
    ///
    /// # Errors
    /// See [`Store::open`]; [`StoreError::Locked`] only when an older program uses the file.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        visit_made(path, |state| match Lock::acquire(state) {
            // Held only while the layout may change.
            Ok(lock) => {
                let store = Self::open_with(state, None)?;
                lock.sign();
                Ok(store)
            }
            Err(StoreError::Locked { .. }) if file::is_current(state)? => Self::open_with(state, None),
            Err(error) => Err(error),
        })
    }

    fn open_with(path: &Path, waits: Option<Arc<Waits>>) -> Result<Self, StoreError> {
        file::create(path)?;
        if let Some(waits) = &waits {
            waits.lock().sign();
        }
        let guard = waits.as_ref().map(|_| Guard::acquire(path)).transpose()?;
        let mut connection = file::open(path)?;
        // A command beside a daemon leaves the pages of a big file to the daemon.
        let pages = if space::is_small(path) { Pages::Checked } else { Pages::Unchecked };
        schema::prepare(&mut connection, path, pages)?;
        space::prepare(&connection, path)?;
        // SQLite creates the log at the first use.
        first::<u64>(&connection, "SELECT count(*) FROM source")
            .map_err(|error| StoreError::from_sqlite(path, &error))?;
        let files = Arc::new(Files::of(path, guard, waits.clone())?);
        let mut store = Self::new(connection, path, Disk::Real(files), waits);
        if pages == Pages::Unchecked && store.waits.is_some() {
            let check = PageCheck::start(path, Arc::clone(&store.damage))?;
            store.page_check = Some(Arc::new(check));
        }
        Ok(store)
    }

    fn new(connection: Connection, path: &Path, disk: Disk, waits: Option<Arc<Waits>>) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let database = Database { connection, _files: disk.files() };
        let database = Arc::new(Mutex::new(database));
        let readers = Arc::default();
        let damage = Arc::default();
        Self { page_check: None, database, readers, path: path.into(), disk, damage, waits }
    }

    /// Checks that the state file is still where it was opened, before the portal may forget the events in it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while it is not.
    pub async fn verify(&self) -> Result<(), StoreError> {
        match self.disk.files() {
            Some(files) => blocking::run(move || files.verify()).await,
            None => Ok(()),
        }
    }

    /// The error for contents that are not as they must be.
    fn damaged(&self, detail: String) -> StoreError {
        StoreError::Damaged { path: self.path.to_path_buf(), detail }
    }

    /// Notes that a caller waits for the file because of `reason`, until the returned value is dropped. Readers of the
    /// state see the note.
    #[must_use]
    pub fn wait(&self, reason: &StoreError) -> Option<Wait> {
        self.waits.as_ref().map(|waits| waits.begin(reason.to_string()))
    }

    /// A handle to read the file while this process runs on it.
    pub fn lookout(&self) -> Lookout {
        Lookout::new(Arc::clone(&self.path), self.disk.files())
    }

    /// The location of the state file that `path` leads to, whether it exists yet or not.
    ///
    /// # Errors
    /// [`StoreError::Misplaced`] or [`StoreError::Unavailable`] when a state file cannot be there.
    pub fn locate(path: &Path) -> Result<PathBuf, StoreError> {
        place::visit(path, |state| Ok(state.to_owned()))
    }

    /// Checks that the state file at `path` is still there if it was ever used.
    ///
    /// # Errors
    /// [`StoreError::Gone`]: the operator decides whether to start with a new one.
    pub fn check_presence(path: &Path) -> Result<(), StoreError> {
        place::visit(path, |state| {
            let is_gone = matches!(state.try_exists(), Ok(false)) && !neighbour(state, "-wal").exists();
            if is_gone && Lock::was_taken(state) {
                return Err(StoreError::Gone { path: state.to_owned() });
            }
            Ok(())
        })
    }

    /// Reads the contents of the state file at `path`, without the lock and without changing anything.
    pub fn report(path: &Path) -> Result<Report, StoreError> {
        place::visit(path, report::read)
    }

    /// Checks all of the state file at `path`, without the lock and without changing anything.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]. Every other problem is a finding.
    pub fn inspect(path: &Path) -> Result<Inspection, StoreError> {
        place::visit(path, inspection::inspect)
    }

    /// Copies the state file at `path` to `target` as it is at one moment, with or without a running daemon. Calls
    /// `progress` with the number of pages that are left, and of all pages. The copy is checked and on disk when this
    /// returns. If it fails, nothing is left of it. A damaged file is copied as well.
    ///
    /// # Errors
    /// [`StoreError::Copy`] when `target` exists or cannot be written, and the errors of [`Store::open`].
    pub fn backup(path: &Path, target: &Path, progress: impl FnMut(u32, u32)) -> Result<Copied, StoreError> {
        backup::copy(path, target, progress)
    }

    /// Stores `value` under `key`. Its meaning is up to the caller.
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

    /// Deletes the value of `key`. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be written.
    pub async fn forget(&self, key: &str) -> Result<bool, StoreError> {
        let key = key.to_owned();
        self.run(move |connection| connection.execute("DELETE FROM memory WHERE key = ?1", [key]))
            .await
            .map(|count| count > 0)
    }

    /// The value of `key`, which any process may have stored.
    pub async fn recall(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.read(move |connection| {
            connection
                .query_row("SELECT value FROM memory WHERE key = ?1", [key], |row| row.get(0))
                .optional()
        })
        .await
    }

    /// Runs `work`, which may write. It runs on a thread that may block when there is a disk.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        self.visit(move || {
            // A panic in `work` leaves no half-done transaction behind: SQLite rolls it back.
            let mut database = store.database.lock().unwrap_or_else(PoisonError::into_inner);
            store.use_connection(&mut database.connection, work)
        })
        .await
    }

    /// Runs `work`, which only reads, beside a writer.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Disk::Simulated(_) = self.disk {
            return self.run(work).await;
        }
        let store = self.clone();
        self.visit(move || {
            let idle = store.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => file::open_reader(&store.path)?,
            };
            let outcome = store.use_connection(&mut connection, work);
            let mut readers = store.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if outcome.is_ok() && readers.len() < READERS_MAX {
                readers.push(connection);
            }
            outcome
        })
        .await
    }

    fn use_connection<T>(
        &self,
        connection: &mut Connection,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.disk.files().map_or(Ok(()), |files| files.verify())?;
        work(connection).map_err(|error| {
            let error = StoreError::from_sqlite(&self.path, &error);
            if let StoreError::Damaged { detail, .. } = &error {
                self.damage.get_or_init(|| detail.clone());
            }
            error
        })
    }

    /// Runs `work` unless the file was found damaged. Without a disk, it is as slow as the script says.
    async fn visit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Some(detail) = self.damage.get() {
            return Err(self.damaged(detail.clone()));
        }
        if let Disk::Simulated(script) = self.disk {
            let unavailable = |detail| StoreError::Unavailable { path: self.path.to_path_buf(), detail };
            tokio::time::sleep(script().map_err(unavailable)?).await;
            let outcome = work();
            tokio::time::sleep(script().unwrap_or_default()).await;
            return outcome;
        }
        blocking::run(work).await
    }
}

/// Like [`place::visit`], and creates the folders above the file.
fn visit_made<T>(path: &Path, work: impl FnOnce(&Path) -> Result<T, StoreError>) -> Result<T, StoreError> {
    owner::as_owner(path, || {
        let above = place::follow(path).and_then(|state| folder::create(folder::of(&state)));
        above.map_err(|error| StoreError::from_io(path, "create its folder", &error))?;
        work(&place::resolve(path)?)
    })
}

/// The path of a file beside the state file: its path with `suffix` appended.
fn neighbour(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The first value of the first row, if there is a row.
fn first<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()
}
