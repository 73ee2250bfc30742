//! Resolves the real path of a file and checks its owner; creates directories and makes names durable.
//!
//! Other users may have write access to the directory. Their files are never followed, opened, deleted or
//! taken for ours: only a regular file that belongs to the user of this process is.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::process::{getegid, geteuid};

use crate::symlinks::{self, folder_of};

/// The identity of a file, which stays the same after a rename.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The file at `path`; `None` if there is none.
pub(crate) fn identity_at(path: &Path) -> io::Result<Option<Identity>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(Identity::of(&metadata))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Resolves `path`, even if no file exists there. Writing and rotation apply to the target of a link, never
/// to the link.
///
/// # Errors
/// [`ErrorKind::PermissionDenied`] for a link that another user created.
pub(crate) fn follow(path: &Path) -> io::Result<PathBuf> {
    symlinks::follow(path, |link| refuse_planted(link, &fs::symlink_metadata(link)?))
}

/// Creates the missing directories above `path`. Each name is on disk before it is used.
pub(crate) fn create_parents(path: &Path) -> io::Result<()> {
    let folder = folder_of(path);
    if folder.exists() {
        return Ok(());
    }
    create_parents(folder)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(folder),
    }
}

/// Makes a change of the name `path` durable, by a sync of its directory.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Renames a file without replacing another one.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if the name `to` is in use.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems do not support this in one step.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if fs::symlink_metadata(to).is_err() => {
            fs::rename(from, to)
        }
        outcome => Ok(outcome?),
    }
}

/// True for a regular file that belongs to the user of this process.
pub(crate) fn is_own(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.uid() == geteuid().as_raw()
}

/// Opens a regular file that belongs to the user of this process. Does not follow links, and does not wait
/// for the other end of a pipe.
pub(crate) fn open_own(path: &Path, access: OFlags) -> io::Result<File> {
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if is_own(&file.metadata()?) {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::PermissionDenied, "not a regular file of this user"))
    }
}

/// Refuses a file at `path` that belongs neither to this user, nor to root, nor to the owner of the
/// directory. In a directory with several writers, another user may have put it there to receive the events,
/// or to have another file overwritten.
pub(crate) fn refuse_planted(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let folder = fs::metadata(folder_of(path))?.uid();
    let owner = metadata.uid();
    if [geteuid().as_raw(), 0, folder].contains(&owner) {
        return Ok(());
    }
    let kind = if metadata.is_symlink() { "a link" } else { "a file" };
    let text = format!("`{}` is {kind} of user {owner}: delete it, or choose another `path`", path.display());
    Err(io::Error::new(ErrorKind::PermissionDenied, text))
}

/// Warnings about other users with access to the file; empty if there are none.
pub(crate) fn cautions(path: &Path) -> Vec<String> {
    let Ok(place) = follow(path) else { return Vec::new() };
    let mut cautions = Vec::new();
    let folder = folder_of(&place);
    if fs::metadata(folder).is_ok_and(|metadata| is_shared(&metadata)) {
        cautions.push(format!(
            "other users can write to the folder `{}`, so they can replace or delete the file: use a folder of your own",
            folder.display()
        ));
    }
    let us = geteuid().as_raw();
    if let Some(owner) = fs::metadata(&place).ok().map(|metadata| metadata.uid()).filter(|owner| *owner != us)
    {
        cautions.push(format!(
            "the file `{}` belongs to user {owner}, who can read every event; this process is user {us}",
            place.display()
        ));
    }
    cautions
}

/// True if users other than this one and root can write to the directory.
fn is_shared(folder: &Metadata) -> bool {
    let (mode, owner, group) = (folder.permissions().mode(), folder.uid(), folder.gid());
    let is_for_group = mode & 0o020 != 0 && group != getegid().as_raw() && group != 0;
    mode & 0o002 != 0 || is_for_group || ![geteuid().as_raw(), 0].contains(&owner)
}
