//! Errors of the state file, one variant for each possible reaction.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// SQLite's code for a page that lies beyond the end of the file.
const SHORT_READ: i32 = 522;

/// Matched by the lane, which retries only errors that may pass, and by the exit code.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process uses it. Exit code 75.
    #[error("the state file `{}` is in use by {holder}: stop that one first, or give this one its own `state`", path.display())]
    Locked {
        /// The state file.
        path: PathBuf,
        /// The holder of the lock, as its note says.
        holder: String,
    },
    /// Another process removes dead letters from it. Exit code 75.
    #[error(
        "the dead letters of `{}` are being worked on by {holder}: wait until it is done, or end it; nothing was sent",
        path.display()
    )]
    Replaying {
        /// The state file.
        path: PathBuf,
        /// The holder of the lock, as its note says.
        holder: String,
    },
    /// A newer program wrote it. Exit code 78.
    #[error(
        "the state file `{}` has layout {found}, this program knows up to {known}: run the newer version that wrote it",
        path.display()
    )]
    Newer {
        /// The state file.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The newest layout known here.
        known: u32,
    },
    /// It is a database of another program. Exit code 78.
    #[error("`{}` is a database of another program: point `state` to a file of its own", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Its log and its lock would lie in another place. Exit code 78.
    #[error(
        "`{}` is mounted as a single file: its `-wal` and its lock would lie outside of that mount, and be lost with \
         the container; mount the folder that holds the state file instead",
        path.display()
    )]
    Misplaced {
        /// The path that is a mount point.
        path: PathBuf,
    },
    /// It cannot be trusted. Exit code 74.
    #[error(
        "the state file `{}` is damaged ({detail}): `b24relay state check` shows what is left and what to do: restore a \
         backup (`b24relay state backup` makes them), or move it away, with its `-wal` and `-shm`, and start anew \
         with `b24relay run --new-state`; \
         the portal then hands out again what it still keeps (24 hours at most)",
        path.display()
    )]
    Damaged {
        /// The state file.
        path: PathBuf,
        /// The damage.
        detail: String,
    },
    /// It was used here and no longer exists. Exit code 74.
    #[error(
        "the state file `{}` that was used here is gone: put it back from a backup (`b24relay state backup` makes them), or \
         start anew with `b24relay run --new-state`: every sink then gets what the portal still has, again",
        path.display()
    )]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// The disk, the folder or the permissions prevent its use. This may pass: retry.
    #[error("cannot use the state file `{}`: {detail}", path.display())]
    Unavailable {
        /// The state file.
        path: PathBuf,
        /// The system's message.
        detail: String,
    },
    /// It cannot be copied. Exit code 74.
    #[error("cannot copy the state to `{}`: {detail}", path.display())]
    Copy {
        /// The target of the copy.
        path: PathBuf,
        /// The obstacle.
        detail: String,
    },
    /// A source has read another queue before. Exit code 78.
    #[error(
        "sources.{source_name}: has read the queue `{known}` so far, and now names `{now}`: \
         go back to the old credential, give the source another name, or, if it is to read this queue from now on, \
         `b24relay offset set {source_name} 1 --new-queue`"
    )]
    OtherQueue {
        /// The source.
        source_name: String,
        /// The queue on record.
        known: String,
        /// The queue that is configured.
        now: String,
    },
}

impl StoreError {
    /// Classifies SQLite's error by the possible reaction.
    pub fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let detail = match error {
            rusqlite::Error::StatementChangedRows(_) => "a row is not where it was left".to_owned(),
            error => error.to_string(),
        };
        match error.sqlite_error_code() {
            _ if error.sqlite_error().is_some_and(|error| error.extended_code == SHORT_READ) => {
                Self::Damaged { path, detail: "it is cut off: pages are missing".to_owned() }
            }
            Some(ErrorCode::DiskFull) => {
                Self::Unavailable { path, detail: format!("the disk is full ({detail})") }
            }
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OutOfMemory,
            ) => Self::Unavailable { path, detail },
            // Not a database, a broken one, or one whose layout is not the one that it claims.
            _ => Self::Damaged { path, detail },
        }
    }

    /// The folder or the file could not be used.
    pub fn from_io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self::Unavailable { path: path.to_owned(), detail: format!("{doing}: {error}") }
    }
}
