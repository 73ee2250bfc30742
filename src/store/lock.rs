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

use super::{StoreError, neighbour};

/// How often a taken lock is tried again: `status` may hold it for a moment.
const TRIES: u32 = 5;

/// The right to run on one state file, until dropped.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock and writes down who holds it.
    pub fn acquire(state: &Path) -> Result<Self, StoreError> {
        let fail = |doing, error| StoreError::from_io(state, doing, &error);
        if let Some(folder) = state.parent() {
            std::fs::create_dir_all(folder).map_err(|error| fail("create its folder", error))?;
        }
        let mut file = open(state).map_err(|error| fail("create the lock file", error))?;
        if !try_lock(&file).map_err(|error| fail("take the lock", error))? {
            return Err(StoreError::Locked { path: state.to_owned(), holder: holder(&mut file) });
        }
        let note =
            format!("process {} since {}\n", process::id(), Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ"));
        // The note is for people; a full disk must not keep us from running.
        file.set_len(0).and_then(|()| file.write_all(note.as_bytes())).ok();
        Ok(Self { _file: file })
    }

    /// Who holds the lock on `state` right now, if anybody does.
    pub fn holder(state: &Path) -> Option<String> {
        let mut file = File::open(neighbour(state, ".lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(holder(&mut file)),
            _ => None,
        }
    }
}

fn open(state: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(neighbour(state, ".lock"))
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
