//! A file that is open for appending. It is locked by us and ends with a complete line, and its name and
//! content are on disk.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use tracing::warn;

use crate::failpoint;
use crate::log_code;
use crate::sink::file::path::{Identity, create_parents, identity_at, open_own, refuse_planted, sync_folder};
use crate::sink::file::recovery;
use crate::sink::file::rotated::format::Format;

/// How often another program may rotate the file while we open it.
const OPENINGS_MAX: u32 = 10;

/// A file that is open for appending.
pub(crate) struct OpenFile {
    pub file: File,
    pub identity: Identity,
}

/// The data that a failed write may have left after `length`, if it could not be truncated at once.
pub(crate) struct PendingTruncate {
    file: File,
    identity: Identity,
    length: u64,
}

impl OpenFile {
    /// Opens the file at `place` and follows links. Creates it and its parent directories if they do not
    /// exist.
    pub(crate) fn open(place: &Path, mode: u32) -> io::Result<Self> {
        for _ in 0..OPENINGS_MAX {
            let is_new = !place.exists();
            if is_new {
                create_parents(place)?;
            }
            let file = OpenOptions::new().read(true).append(true).create(true).mode(mode).open(place)?;
            if let Some(opened) = Self::own(file, place, is_new.then_some(mode))? {
                return Ok(opened);
            }
        }
        Err(io::Error::new(ErrorKind::ResourceBusy, "another process keeps putting it aside"))
    }

    /// Locks `file`, which was opened at `place`. A new file gets the mode `new_mode`. Returns `None` if
    /// another program rotated the file before it was locked, because that program may already be compressing
    /// it.
    fn own(file: File, place: &Path, new_mode: Option<u32>) -> io::Result<Option<Self>> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        refuse_planted(place, &metadata)?;
        let identity = Identity::of(&metadata);
        let locked = lock(&file);
        if identity_at(place)? != Some(identity) {
            return Ok(None);
        }
        locked?;
        if let Some(mode) = new_mode {
            // The configured mode overrides the process's umask.
            file.set_permissions(Permissions::from_mode(mode))?;
        } else if let Some(repair) = recovery::repair(&file)? {
            warn!(code = %log_code::FILE_REPAIRED, path = %place.display(), "{repair}");
        }
        // A killed process may have written without a sync. Lines that are recognised from now on count as
        // settled, and so does the name of the file.
        file.sync_data()?;
        sync_folder(place)?;
        Ok(Some(Self { file, identity }))
    }

    /// Appends `bytes` at `length`, the end of the file, and waits for the disk. If that fails, the written
    /// data is truncated; if that fails too, the error is returned with a pending truncation.
    pub(crate) fn append(
        &self,
        bytes: &[u8],
        length: u64,
    ) -> Result<(), (io::Error, Option<PendingTruncate>)> {
        self.write_durably(bytes).map_err(|error| {
            // After a failed sync, the system may drop the pages and report success for the next sync, so the
            // lines must be written again.
            let is_cut = self.file.set_len(length).is_ok();
            (error, if is_cut { None } else { self.pending_truncate(length) })
        })
    }

    fn write_durably(&self, bytes: &[u8]) -> io::Result<()> {
        failpoint::reached("file_writing");
        (&self.file).write_all(bytes)?;
        failpoint::reached("file_written");
        self.file.sync_data()?;
        failpoint::reached("file_synced");
        if self.file.metadata()?.nlink() == 0 {
            // The written data belongs to a file without a name, so no program could find it.
            return Err(io::Error::new(ErrorKind::Interrupted, "it was deleted while it was written to"));
        }
        Ok(())
    }

    fn pending_truncate(&self, length: u64) -> Option<PendingTruncate> {
        let file = self.file.try_clone().ok()?;
        Some(PendingTruncate { file, identity: self.identity, length })
    }
}

impl PendingTruncate {
    /// Truncates the data that the failed write may have left, before any other use of the file, wherever the file is now.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<()> {
        let Err(error) = self.file.set_len(self.length) else { return Ok(()) };
        if identity_at(path)? == Some(self.identity) {
            // The handle may be invalid because the disk was removed and came back.
            return OpenOptions::new().write(true).open(path)?.set_len(self.length);
        }
        warn!(code = %log_code::FILE_TAKEN_AWAY, path = %path.display(), %error, "cannot cut off an incomplete write in a moved file: its last events may be written twice");
        Ok(())
    }
}

/// Prevents a second writer.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            ErrorKind::ResourceBusy,
            "another process or another sink writes to it, such as a second b24relay: stop that one first",
        )),
        // Some network file systems do not support locks.
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => Err(error),
        _ => Ok(()),
    }
}

/// Opens a file for reading that another program rotated. Its content is then on disk, and it ends with a
/// complete line, even if there was a crash before the rotation.
pub(crate) fn open_outside(path: &Path) -> io::Result<File> {
    if let Ok(file) = open_own(path, OFlags::RDWR | OFlags::APPEND)
        && lock(&file).is_ok()
        // The end of a compressed file may look like an incomplete line.
        && Format::sniff(&file)?.is_none()
        && recovery::cut_torn(&file)?
    {
        warn!(code = %log_code::FILE_REPAIRED, path = %path.display(), "cut off an incomplete last line: its event will be written again");
    }
    open_past(path)
}

/// Opens a rotated file for reading. Its content is then on disk.
pub(crate) fn open_past(path: &Path) -> io::Result<File> {
    let file = open_own(path, OFlags::RDONLY)?;
    file.sync_data()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(place: &Path) -> OpenFile {
        OpenFile::open(place, 0o640).unwrap()
    }

    #[test]
    fn a_file_that_was_put_aside_before_it_was_locked_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (place, aside) = (folder.path().join("events.jsonl"), folder.path().join("events.jsonl.1"));
        fs::write(&place, "{}\n{\"torn").unwrap();
        let file = || OpenOptions::new().read(true).append(true).open(&place).unwrap();
        let (late, later) = (file(), file());
        fs::rename(&place, &aside).unwrap();
        assert!(OpenFile::own(late, &place, None).unwrap().is_none(), "nothing is there by now");
        let other = open(&place);
        assert!(OpenFile::own(later, &place, None).unwrap().is_none(), "another is there by now");
        assert_eq!(fs::read(&aside).unwrap(), b"{}\n{\"torn", "whoever has it may be reading it");
        drop(other);
        let ours = open(&place);
        assert_eq!(identity_at(&place).unwrap(), Some(ours.identity));
    }

    #[test]
    fn only_a_plain_file_of_others_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl.1");
        for (content, left) in [
            (&b"{}\n{\"id\":\"b24_00"[..], &b"{}\n"[..]),
            (b"{}\n\0\0", b"{}\n"),
            (b"\x1f\x8b\x08\n\0\0", b"\x1f\x8b\x08\n\0\0"),
            (b"\x28\xb5\x2f\xfd\n\0\0", b"\x28\xb5\x2f\xfd\n\0\0"),
        ] {
            fs::write(&path, content).unwrap();
            open_outside(&path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), left);
        }
    }

    #[test]
    fn what_is_written_to_a_file_without_a_name_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("events.jsonl");
        let opened = open(&place);
        opened.append(b"{}\n", 0).map_err(|(error, _)| error).unwrap();
        fs::remove_file(&place).unwrap();
        let (error, pending_truncate) = opened.append(b"{}\n", 3).unwrap_err();
        assert!(error.to_string().contains("deleted"), "{error}");
        assert!(pending_truncate.is_none(), "it was cut off again");
        assert_eq!(opened.file.metadata().unwrap().len(), 3);
    }
}
