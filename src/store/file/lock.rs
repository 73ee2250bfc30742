//! One daemon per state file: a lock that the kernel holds and releases with the process.
//!
//! The lock is on a separate file beside the state file, which names the holder. If that file is deleted, the second
//! lock, on the state file itself ([`Guard`]), still keeps another daemon out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::store::error::StoreError;
use crate::store::file::guard::try_lock;
use crate::store::file::guard::{self, Guard};
use crate::store::file::header::is_missing;
use crate::store::file::header::refuse_cut;
use crate::store::file::place::identity;
use crate::store::file::place::location;
use crate::store::paths::LOCK_SUFFIX;
use crate::store::paths::sibling_path;

const LETTERS_LOCK_SUFFIX: &str = ".letters.lock";

/// Its owner alone may write to it.
const MODE: u32 = 0o600;

/// The longest note, in bytes.
const NOTE_MAX: u64 = 8192;

/// How many characters are kept of the reason why the state file cannot be written.
const TROUBLE_MAX: usize = 1000;

/// The right to run on one state file, until dropped.
pub struct Lock {
    state: PathBuf,
    suffix: &'static str,
    /// Names the holder.
    note: String,
    file: Mutex<File>,
}

/// The holder of a lock.
pub struct Holder {
    /// Its process, and since when.
    pub name: String,
    /// Why nothing goes on, if so.
    pub trouble: Option<String>,
}

impl Lock {
    /// Takes the lock on the state file at `state`, which has no links in it, and notes who holds it if that file is there.
    pub fn acquire(state: &Path) -> Result<Self, StoreError> {
        let held = |holder| StoreError::Locked { path: state.to_owned(), holder };
        Self::acquire_on(state, LOCK_SUFFIX, held)
    }

    /// Takes the lock on removing dead letters, which a daemon beside does not need.
    pub fn acquire_letters(state: &Path) -> Result<Self, StoreError> {
        let held = |holder| StoreError::Replaying { path: state.to_owned(), holder };
        Self::acquire_on(state, LETTERS_LOCK_SUFFIX, held)
    }

    fn acquire_on(
        state: &Path,
        suffix: &'static str,
        held: impl FnOnce(String) -> StoreError,
    ) -> Result<Self, StoreError> {
        let fail = |doing, error| StoreError::from_io(state, doing, &error);
        let mut file = open(state, suffix).map_err(|error| fail("open its lock file", error))?;
        if !try_lock(&file).map_err(|error| fail("take the lock", error))? {
            return Err(held(read(&mut file).name));
        }
        refuse_cut(state)?;
        let note =
            format!("process {} since {}\n", process::id(), Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ"));
        let lock = Self { state: state.to_owned(), suffix, note, file: Mutex::new(file) };
        if !is_missing(state) {
            lock.sign();
        }
        Ok(lock)
    }

    /// Notes the holder. This must not happen before there is a state file: a start that ends earlier must leave no
    /// trace of one.
    pub fn sign(&self) {
        write(&self.file(), &self.note);
    }

    /// Notes why the state file cannot be written; an empty reason removes the note. A full disk still has room for it,
    /// because it fits into the block that the file has already.
    pub fn tell(&self, trouble: &str) {
        let line: String = trouble.split_whitespace().collect::<Vec<_>>().join(" ");
        let line: String = line.chars().take(TROUBLE_MAX).collect();
        let (file, length) = (self.file(), self.note.len() as u64);
        let told = file.set_len(length).and_then(|()| file.write_all_at(line.as_bytes(), length));
        // Ignore a failure: the log has the reason, too.
        told.ok();
    }

    /// Creates the lock file again if it was removed or replaced.
    ///
    /// # Errors
    /// Fails when that is not possible, or when another process holds the lock on the file that is there now.
    pub fn restore(&self) -> io::Result<()> {
        let ours = self.file().metadata()?;
        if identity::at(&sibling_path(&self.state, self.suffix))? == Some(identity::of(&ours)) {
            return Ok(());
        }
        let file = open(&self.state, self.suffix)?;
        if !try_lock(&file)? {
            return Err(io::Error::other(
                "its lock file was replaced, and another process holds the new one",
            ));
        }
        write(&file, &self.note);
        *self.file() = file;
        Ok(())
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The holder of the lock on `state` at this moment, if any. Must be called before SQLite has the file open.
    pub fn holder(state: &Path) -> Option<Holder> {
        let unknown =
            || Guard::is_held(state).then(|| Holder { name: guard::HOLDER.to_owned(), trouble: None });
        let Ok(mut file) = location::open_to_read(state, LOCK_SUFFIX) else { return unknown() };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read(&mut file)),
            _ => unknown(),
        }
    }
}

/// Since when the lock has been held, according to its note, in Unix milliseconds.
pub(crate) fn since_ms(holder: &str) -> Option<i64> {
    let (_, since) = holder.rsplit_once(" since ")?;
    since.parse().ok().map(Timestamp::as_millisecond)
}

/// Opens the lock file, or creates it.
fn open(state: &Path, suffix: &str) -> io::Result<File> {
    let options = || OpenOptions::new().read(true).write(true).mode(MODE).clone();
    loop {
        let file = match location::open(state, suffix, &mut options()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                location::open(state, suffix, options().create_new(true))
            }
            file => file,
        };
        match file {
            // Another process has created it in between.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            file => return file,
        }
    }
}

/// Writes the note, which is for people only: a full disk must not keep the daemon from running.
fn write(file: &File, note: &str) {
    file.set_len(0).and_then(|()| file.write_all_at(note.as_bytes(), 0)).ok();
}

fn read(file: &mut File) -> Holder {
    let mut note = String::new();
    file.rewind().and_then(|()| file.take(NOTE_MAX).read_to_string(&mut note)).ok();
    let (name, trouble) = note.split_once('\n').unwrap_or((&note, ""));
    let name = if name.is_empty() { "another process" } else { name };
    Holder { name: name.to_owned(), trouble: Some(trouble.to_owned()).filter(|trouble| !trouble.is_empty()) }
}
