//! The open state file, as everything in the process shares it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
#[cfg(feature = "simulation")]
use std::time::Duration;

use rusqlite::Connection;

use crate::blocking;
use crate::store::database::{Database, Files};
use crate::store::error::StoreError;
use crate::store::file;
use crate::store::file::guard::Guard;
use crate::store::file::lock::Lock;
use crate::store::file::open;
use crate::store::file::stall::{StallNotice, Wait};
use crate::store::paths::sibling_path;
use crate::store::paths::was_taken;
use crate::store::schema::migrations;
use crate::store::schema::migrations::Pages;
use crate::store::schema::page_check::PageCheck;
use crate::store::sql::first;
use crate::symlinks;

/// How many idle connections that only read stay open.
const READERS_MAX: usize = 4;

/// How many statements stay prepared: more than the paths of events use.
const STATEMENTS: usize = 32;

/// The place of the state.
#[derive(Clone)]
pub(in crate::store) enum Disk {
    Real(Arc<Files>),
    /// In memory only. The function says how long an access takes, or why it fails.
    #[cfg(feature = "simulation")]
    Simulated(fn() -> Result<Duration, String>),
}

impl Disk {
    pub(in crate::store) fn files(&self) -> Option<Arc<Files>> {
        match self {
            Self::Real(files) => Some(Arc::clone(files)),
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => None,
        }
    }
}

/// The state file, open. Clones are cheap, and the work is done off the runtime's threads.
#[derive(Clone)]
pub struct Store {
    /// The check of a big file, while it runs.
    pub(in crate::store) page_check: Option<Arc<PageCheck>>,
    /// Idle connections that only read. They are closed first: the last connection that closes removes the log.
    pub(in crate::store) readers: Arc<Mutex<Vec<Connection>>>,
    pub(in crate::store) database: Arc<Mutex<Database>>,
    pub(in crate::store) path: Arc<Path>,
    pub(in crate::store) disk: Disk,
    /// Damage that was found while the file is open. Nothing is written after that.
    pub(in crate::store) damage: Arc<OnceLock<String>>,
    /// Contains the lock of the one process that polls. A command beside it has none.
    pub(in crate::store) waits: Option<Arc<StallNotice>>,
}

impl Store {
    /// Opens the state file and locks it. The file and its folder are created when they are missing.
    ///
    /// # Errors
    /// See [`StoreError`]. No error overwrites anything that was there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        visit_made(path, |state| Self::open_with(state, Some(StallNotice::new(Lock::acquire(state)?))))
    }

    /// Opens the state file for a command that may work beside a running daemon, and that does not prevent the start of
    /// one. It is for [`Store::set_value`], [`Store::value`] and [`Store::resume`], and leaves checkpoints alone.
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
            Err(StoreError::Locked { .. }) if open::is_current(state)? => Self::open_with(state, None),
            Err(error) => Err(error),
        })
    }

    fn open_with(path: &Path, waits: Option<Arc<StallNotice>>) -> Result<Self, StoreError> {
        open::create(path)?;
        if let Some(waits) = &waits {
            waits.lock().sign();
        }
        let guard = waits.as_ref().map(|_| Guard::acquire(path)).transpose()?;
        let mut connection = open::open(path)?;
        // A command beside a daemon leaves the pages of a big file to that one.
        let pages = if file::space::is_small(path) { Pages::Checked } else { Pages::Unchecked };
        migrations::prepare(&mut connection, path, pages)?;
        file::space::prepare(&connection, path)?;
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

    pub(in crate::store) fn new(
        connection: Connection,
        path: &Path,
        disk: Disk,
        waits: Option<Arc<StallNotice>>,
    ) -> Self {
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
    pub(in crate::store) fn damaged(&self, detail: String) -> StoreError {
        StoreError::Damaged { path: self.path.to_path_buf(), detail }
    }

    /// Notes that a caller waits for the file because of `reason`, until the returned value is dropped. Readers of the
    /// state see the note.
    #[must_use]
    pub fn wait(&self, reason: &StoreError) -> Option<Wait> {
        self.waits.as_ref().map(|waits| waits.begin(reason.to_string()))
    }

    /// The location of the state file that `path` leads to, whether it exists yet or not.
    ///
    /// # Errors
    /// [`StoreError::Misplaced`] or [`StoreError::Unavailable`] when a state file cannot be there.
    pub fn locate(path: &Path) -> Result<PathBuf, StoreError> {
        file::place::location::visit(path, |state| Ok(state.to_owned()))
    }

    /// Checks that the state file at `path` is still there if it was ever used.
    ///
    /// # Errors
    /// [`StoreError::Gone`]: the operator decides whether to start with a new one.
    pub fn check_presence(path: &Path) -> Result<(), StoreError> {
        file::place::location::visit(path, |state| {
            let is_gone = matches!(state.try_exists(), Ok(false)) && !sibling_path(state, "-wal").exists();
            if is_gone && was_taken(state) {
                return Err(StoreError::Gone { path: state.to_owned() });
            }
            Ok(())
        })
    }

    /// Runs `work`, which may write. It runs on a thread that may block when there is a disk.
    pub(in crate::store) async fn run<T: Send + 'static>(
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
    pub(in crate::store) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        // A state in memory has one connection.
        if self.disk.files().is_none() {
            return self.run(work).await;
        }
        let store = self.clone();
        self.visit(move || {
            let idle = store.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => open::open_reader(&store.path)?,
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

    /// Runs `work` unless the file was found damaged.
    async fn visit<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Some(detail) = self.damage.get() {
            return Err(self.damaged(detail.clone()));
        }
        #[cfg(feature = "simulation")]
        if let Disk::Simulated(script) = self.disk {
            return self.visit_slowly(script, work).await;
        }
        blocking::run(work).await
    }
}

/// Like [`file::place::location::visit`], and creates the folders above the file.
fn visit_made<T>(path: &Path, work: impl FnOnce(&Path) -> Result<T, StoreError>) -> Result<T, StoreError> {
    file::place::owner::as_owner(path, || {
        let above = symlinks::resolve(path)
            .and_then(|state| file::place::durable_dir::create(symlinks::folder_of(&state)));
        above.map_err(|error| StoreError::from_io(path, "create its folder", &error))?;
        work(&file::place::location::resolve(path)?)
    })
}
