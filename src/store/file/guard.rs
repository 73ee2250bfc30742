//! The second lock of a daemon, on the state file itself. That file cannot be replaced without becoming another file.
//!
//! The lock is of a kind that SQLite does not use (`flock`). Closing any handle of the state file would drop SQLite's
//! own locks, which POSIX keeps per process. So this lock is taken before SQLite opens the file, and released after
//! SQLite has closed it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::fstatfs;

use crate::store::error::StoreError;
use crate::store::file::open_files::is_in_use;
use crate::store::file::place::location;

/// The holder's name when it is not known, because it was in the lock file.
pub(crate) const HOLDER: &str = "another process, whose lock file was removed";

/// File systems that turn both kinds of lock into one, so that we would lock out SQLite: NFS, SMB 1 to 3, 9P.
const NETWORKS: [i64; 4] = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997];

/// How often a taken lock is tried again: `status` may hold it for a moment.
const TRIES: u32 = 5;

pub struct Guard {
    file: File,
    is_locked: bool,
}

impl Guard {
    /// Takes the lock on the state file at `state`, which exists.
    pub fn acquire(state: &Path) -> Result<Self, StoreError> {
        let locked = || StoreError::Locked { path: state.to_owned(), holder: HOLDER.to_owned() };
        // Opening it once more would drop the locks of SQLite in this process.
        if is_in_use(state) {
            return Err(locked());
        }
        match Self::try_acquire(state) {
            Ok(guard) => guard.ok_or_else(locked),
            Err(error) => Err(StoreError::from_io(state, "take the lock on it", &error)),
        }
    }

    fn try_acquire(state: &Path) -> io::Result<Option<Self>> {
        // Open it for writing: in a container this makes it a separate file.
        let file = location::open(state, "", OpenOptions::new().read(true).write(true))?;
        let is_locked = may_be_locked(&file);
        Ok((!is_locked || try_lock(&file)?).then_some(Self { file, is_locked }))
    }

    /// Whether it keeps a second daemon out, even if the lock file is removed.
    pub fn is_sufficient(&self) -> bool {
        self.is_locked
    }

    /// Whether another process holds it.
    pub fn is_held(state: &Path) -> bool {
        if is_in_use(state) {
            return false;
        }
        let Ok(file) = location::open_to_read(state, "") else { return false };
        may_be_locked(&file) && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// The file that is locked.
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn may_be_locked(file: &File) -> bool {
    #[allow(clippy::useless_conversion, reason = "it is 32 bits wide on some machines")]
    let kind = fstatfs(file).map(|found| i64::from(found.f_type) & 0xffff_ffff);
    kind.is_ok_and(|kind| !NETWORKS.contains(&kind))
}

/// Takes the kernel's lock on `file`; `false` when another process keeps it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}
