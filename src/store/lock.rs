//! One daemon per state file: a lock that the kernel holds and gives up with the process.
//!
//! It lies on a file of its own beside the state file: closing any handle of the state file itself
//! would drop SQLite's own locks on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;
use std::{process, thread};

use jiff::Timestamp;

use super::{StoreError, file::refuse_cut, folder, neighbour};

/// What is appended to the name of the state file.
const SUFFIX: &str = ".lock";
const LETTERS_SUFFIX: &str = ".letters.lock";

/// How often a taken lock is tried again: `status` may hold it for a moment.
const TRIES: u32 = 5;

/// The right to run on one state file, until dropped.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock and writes down who holds it.
    pub fn acquire(state: &Path) -> Result<Self, StoreError> {
        let held = |holder| StoreError::Locked { path: state.to_owned(), holder };
        Self::acquire_on(state, SUFFIX, held)
    }

    /// The same for the right to take dead letters out, which a daemon beside does not need.
    pub fn acquire_letters(state: &Path) -> Result<Self, StoreError> {
        let held = |holder| StoreError::Replaying { path: state.to_owned(), holder };
        Self::acquire_on(state, LETTERS_SUFFIX, held)
    }

    fn acquire_on(
        state: &Path,
        suffix: &str,
        held: impl FnOnce(String) -> StoreError,
    ) -> Result<Self, StoreError> {
        let fail = |doing, error| StoreError::from_io(state, doing, &error);
        if let Some(above) = state.parent() {
            folder::create(above).map_err(|error| fail("create its folder", error))?;
        }
        let mut file =
            open(&neighbour(state, suffix)).map_err(|error| fail("create the lock file", error))?;
        if !try_lock(&file).map_err(|error| fail("take the lock", error))? {
            return Err(held(holder(&mut file)));
        }
        // Before our note makes a new file one that was used.
        refuse_cut(state)?;
        let note =
            format!("process {} since {}\n", process::id(), Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ"));
        // The note is for people; a full disk must not keep us from running.
        file.set_len(0).and_then(|()| file.write_all(note.as_bytes())).ok();
        Ok(Self { _file: file })
    }

    /// Whether anybody ever had it, so that there has been a state.
    pub fn was_taken(state: &Path) -> bool {
        neighbour(state, ".lock").metadata().is_ok_and(|metadata| metadata.len() > 0)
    }

    /// Who holds the lock on `state` right now, if anybody does.
    pub fn holder(state: &Path) -> Option<String> {
        let mut file = File::open(neighbour(state, SUFFIX)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(holder(&mut file)),
            _ => None,
        }
    }
}

/// Since when it has been held, as its holder has noted, in Unix milliseconds.
pub fn since_ms(holder: &str) -> Option<i64> {
    let (_, since) = holder.rsplit_once(" since ")?;
    since.parse().ok().map(Timestamp::as_millisecond)
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn try_lock(file: &File) -> std::io::Result<bool> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn holder(file: &mut File) -> String {
    let mut note = String::new();
    let read = file.rewind().and_then(|()| file.take(200).read_to_string(&mut note));
    match (read, note.trim()) {
        (Ok(_), note) if !note.is_empty() => note.to_owned(),
        _ => "another process".to_owned(),
    }
}
