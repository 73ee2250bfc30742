//! A file that is open for appending: ours alone, ending with a whole line, its name and content on the disk.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use tracing::warn;

use crate::failpoint;
use crate::sink::file::format::Format;
use crate::sink::file::place::{
    Identity, create_parents, identity_at, open_own, refuse_planted, sync_folder,
};
use crate::sink::file::tail;

/// How often a file may be put aside by others while we open it.
const OPENINGS_MAX: u32 = 10;

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

    /// Makes `file`, which `place` has led to, ours alone; one that is new gets its `new_mode`. `None` when
    /// it was put aside before we had the lock: whoever did that may be compressing it by now.
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
            // The process's umask has had its say; the configuration has the last word.
            file.set_permissions(Permissions::from_mode(mode))?;
        } else if let Some(repair) = tail::repair(&file)? {
            warn!(path = %place.display(), "{repair}");
        }
        // A process that was killed may have got as far as writing and no further: what is recognised from
        // here on counts as settled, and so does its name.
        file.sync_data()?;
        sync_folder(place)?;
        Ok(Some(Self { file, identity }))
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
            "another process or another sink writes to it, such as a second b24relay: stop that one first",
        )),
        // Some network file systems know no locks.
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => Err(error),
        _ => Ok(()),
    }
}

/// Opens a file that another program put aside, for reading. Its content is on the disk then, and it ends with a
/// whole line: a crash may have come before it was put aside.
pub fn open_outside(path: &Path) -> io::Result<File> {
    if let Ok(file) = open_own(path, OFlags::RDWR | OFlags::APPEND)
        && lock(&file).is_ok()
        // The end of a compressed file may look like a torn line.
        && Format::sniff(&file)?.is_none()
        && tail::cut_torn(&file)?
    {
        warn!(path = %path.display(), "cut off a torn last line, its event will be written again");
    }
    open_past(path)
}

/// Opens a file that was put aside, for reading. Its content is on the disk then.
pub fn open_past(path: &Path) -> io::Result<File> {
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
        let (error, doubt) = opened.append(b"{}\n", 3).unwrap_err();
        assert!(error.to_string().contains("deleted"), "{error}");
        assert!(doubt.is_none(), "it was cut off again");
        assert_eq!(opened.file.metadata().unwrap().len(), 3);
    }
}
