//! A file that is open for appending: ours alone, ending with a whole line, its name and content on the disk.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use tracing::warn;

use super::place::{Identity, create_parents, identity_at, sync_folder};
use super::tail;
use crate::failpoint;

/// See the top of this file.
pub struct OpenFile {
    pub file: File,
    pub identity: Identity,
}

/// What a failed write may have left behind `length`, when it could not be cut off at once.
pub struct Doubt {
    file: File,
    identity: Identity,
    length: u64,
}

impl OpenFile {
    /// Opens the file at `place`, links followed; creates it and its folders when they are not there.
    pub fn open(place: &Path, mode: u32) -> io::Result<Self> {
        let is_new = !place.exists();
        if is_new {
            create_parents(place)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(mode).open(place)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        lock(&file)?;
        if is_new {
            // The process's umask has had its say; the configuration has the last word.
            file.set_permissions(Permissions::from_mode(mode))?;
        } else if let Some(repair) = tail::repair(&file)? {
            warn!(path = %place.display(), "{repair}");
        }
        // A process that was killed may have got as far as writing and no further: what is recognised from
        // here on counts as settled, and so does its name.
        file.sync_data()?;
        sync_folder(place)?;
        Ok(Self { file, identity: Identity::of(&metadata) })
    }

    /// Appends `bytes` behind `length`, which is all there is, and waits for the disk. When that fails, what
    /// was written is cut off again; when that fails as well, the doubt is returned with the error.
    pub fn append(&self, bytes: &[u8], length: u64) -> Result<(), (io::Error, Option<Doubt>)> {
        self.write_durably(bytes).map_err(|error| {
            // After a failed sync the system may forget the pages and call the next sync a success, so the
            // lines must be written anew.
            let is_cut = self.file.set_len(length).is_ok();
            (error, if is_cut { None } else { self.doubt(length) })
        })
    }

    fn write_durably(&self, bytes: &[u8]) -> io::Result<()> {
        failpoint::reached("file_writing");
        (&self.file).write_all(bytes)?;
        failpoint::reached("file_written");
        self.file.sync_data()?;
        failpoint::reached("file_synced");
        if self.file.metadata()?.nlink() == 0 {
            // What was written has no name by which anybody could find it.
            return Err(io::Error::new(ErrorKind::Interrupted, "it was deleted while it was written to"));
        }
        Ok(())
    }

    fn doubt(&self, length: u64) -> Option<Doubt> {
        let file = self.file.try_clone().ok()?;
        Some(Doubt { file, identity: self.identity, length })
    }
}

impl Doubt {
    /// Cuts off what is in doubt, before anything else is done with the file, wherever it is by now.
    pub fn resolve(&self, path: &Path) -> io::Result<()> {
        let Err(error) = self.file.set_len(self.length) else { return Ok(()) };
        if identity_at(path)? == Some(self.identity) {
            // The handle may have died with a disk that was taken away and has come back.
            return OpenOptions::new().write(true).open(path)?.set_len(self.length);
        }
        warn!(path = %path.display(), %error, "a file that was taken away may end with events that come again");
        Ok(())
    }
}

/// Keeps a second writer away.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            ErrorKind::ResourceBusy,
            "another process writes to it, such as a running b24relay: stop that one first",
        )),
        // Some network file systems know no locks.
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => Err(error),
        _ => Ok(()),
    }
}

/// Makes sure that what is read from a file that was put aside is on the disk, and that it ends with a whole
/// line when it was put aside by somebody else after a crash.
pub fn open_outside(path: &Path) -> io::Result<File> {
    if let Ok(file) = OpenOptions::new().read(true).append(true).open(path)
        && lock(&file).is_ok()
        && file.metadata()?.is_file()
        && tail::cut_torn(&file)?
    {
        warn!(path = %path.display(), "cut off a torn last line, its event will be written again");
    }
    open_past(path)
}

/// Opens a file that was put aside, to read it.
pub fn open_past(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    file.sync_data()?;
    Ok(file)
}
