//! The open state file: SQLite's connection, and the files that it has open.
//!
//! Data written to a file that was moved or deleted would not be found at the next start. So before each use the paths
//! must still lead to the files that were opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use crate::store::error::StoreError;
use crate::store::file::guard::Guard;
use crate::store::file::open_files::InUse;
use crate::store::file::place::identity::{self, Identity};
use crate::store::file::stall::StallNotice;
use crate::store::paths::sibling_path;

/// A connection, and everything that must be held until it is closed. Fields are dropped in this order.
pub(super) struct Database {
    pub connection: Connection,
    /// `None` for a state in memory.
    pub _files: Option<Arc<Files>>,
}

/// The files of one connection.
pub struct Files {
    path: PathBuf,
    /// SQLite's files beside it, by suffix.
    beside: Vec<(&'static str, Identity)>,
    /// The state file as it was opened.
    identity: Identity,
    /// Held together with the lock by the one process that polls. A command beside it has neither.
    guard: Option<Guard>,
    waits: Option<Arc<StallNotice>>,
    _in_use: InUse,
}

impl Files {
    /// The files of a connection to the file at `path` that was used already.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when they are gone already.
    pub fn of(
        path: &Path,
        guard: Option<Guard>,
        waits: Option<Arc<StallNotice>>,
    ) -> Result<Self, StoreError> {
        let fail = |error| StoreError::from_io(path, "look at it", &error);
        let mut beside = Vec::new();
        for suffix in ["-wal", "-shm"] {
            let found = identity::at(&sibling_path(path, suffix)).map_err(fail)?;
            beside.extend(found.map(|identity| (suffix, identity)));
        }
        let identity = identity::of(&path.metadata().map_err(fail)?);
        Ok(Self { path: path.to_owned(), beside, identity, guard, waits, _in_use: InUse::mark(path) })
    }

    /// Checks that the paths still lead to the files that are open, and creates a removed lock file again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], until the files are back.
    pub fn verify(&self) -> Result<(), StoreError> {
        let identity = self.identity().map_err(|error| self.unavailable("look at it", &error))?;
        for (suffix, identity) in [("", identity)].into_iter().chain(self.beside.iter().copied()) {
            let file = sibling_path(&self.path, suffix);
            let found = identity::at(&file).map_err(|error| self.unavailable("look at it", &error))?;
            if found != Some(identity) {
                return Err(self.moved(&file));
            }
        }
        match self.waits.as_ref().map_or(Ok(()), |waits| waits.lock().restore()) {
            Err(error) if !self.guard.as_ref().is_some_and(Guard::is_sufficient) => {
                Err(self.unavailable("make its lock file anew", &error))
            }
            _ => Ok(()),
        }
    }

    fn identity(&self) -> io::Result<Identity> {
        match &self.guard {
            Some(guard) => Ok(identity::of(&guard.file().metadata()?)),
            None => Ok(self.identity),
        }
    }

    fn unavailable(&self, doing: &str, error: &io::Error) -> StoreError {
        StoreError::from_io(&self.path, doing, error)
    }

    fn moved(&self, file: &Path) -> StoreError {
        let detail = format!(
            "`{}` was moved, deleted or replaced while this process has it open, and nothing is confirmed until it is back: \
             put it back; if that is not possible, stop this process with SIGTERM and start it again",
            file.display()
        );
        StoreError::Unavailable { path: self.path.clone(), detail }
    }
}
