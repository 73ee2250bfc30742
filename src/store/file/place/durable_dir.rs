//! The folders above the state file. Their names must survive a power cut as the file does (I3).

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::symlinks::folder_of;

/// A folder as a path that can be opened: the empty path means the working directory.
pub(crate) fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Creates the missing folders down to `folder`. The name of each is on disk before it is used.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.exists() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), create)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_name(folder),
    }
}

/// Makes the name `path` durable in the folder that holds it.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}
