//! One daemon per state file: a lock that the kernel holds and gives up with the process.
//!
//! It lies on a file of its own beside the state file: closing any handle of the state file itself
//! would drop SQLite's own locks on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
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

/// No note is longer, in bytes.
const NOTE_MAX: u64 = 8192;

/// How many letters of why the state file cannot be written are kept.
const TROUBLE_MAX: usize = 1000;

/// The right to run on one state file, until dropped.
pub struct Lock {
    file: File,
    /// How long the line is that says who holds it.
    length: u64,
}

/// Who holds a lock.
pub struct Holder {
    /// Its process, and since when.
    pub name: String,
    /// Why nothing goes on, if so.
    pub trouble: Option<String>,
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
            return Err(held(read(&mut file).name));
        }
        // Before our note makes a new file one that was used.
        refuse_cut(state)?;
        let note =
            format!("process {} since {}\n", process::id(), Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ"));
        // The note is for people; a full disk must not keep us from running.
        file.set_len(0).and_then(|()| file.write_all(note.as_bytes())).ok();
        let length = u64::try_from(note.len()).unwrap_or_default();
        Ok(Self { file, length })
    }

    /// Leaves word of why nothing goes on; none when it is empty. There is room for it where there is room for
    /// nothing else: it fits beside what is in the file's first block already.
    pub fn tell(&self, trouble: &str) {
        let line: String = trouble.split_whitespace().collect::<Vec<_>>().join(" ");
        let line: String = line.chars().take(TROUBLE_MAX).collect();
        let told = self
            .file
            .set_len(self.length)
            .and_then(|()| self.file.write_all_at(line.as_bytes(), self.length));
        // Only a word: the log has it too.
        told.ok();
    }

    /// Whether anybody ever had it, so that there has been a state.
    pub fn was_taken(state: &Path) -> bool {
        neighbour(state, ".lock").metadata().is_ok_and(|metadata| metadata.len() > 0)
    }

    /// Who holds the lock on `state` right now, if anybody does.
    pub fn holder(state: &Path) -> Option<Holder> {
        let mut file = File::open(neighbour(state, SUFFIX)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read(&mut file)),
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
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    folder::hand_over(&file, path)?;
    Ok(file)
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

fn read(file: &mut File) -> Holder {
    let mut note = String::new();
    file.rewind().and_then(|()| file.take(NOTE_MAX).read_to_string(&mut note)).ok();
    let (name, trouble) = note.split_once('\n').unwrap_or((&note, ""));
    let name = if name.is_empty() { "another process" } else { name };
    Holder { name: name.to_owned(), trouble: Some(trouble.to_owned()).filter(|trouble| !trouble.is_empty()) }
}
