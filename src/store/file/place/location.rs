//! The real location of the state file, which must be one file with one name. Links to it are followed first, so that
//! two daemons that name it differently meet at the same lock. Files beside it are opened without following links,
//! because a command that root runs must not touch files that another user has planted there.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::store::error::StoreError;
use crate::store::file::place::owner;
use crate::store::paths::sibling_path;
use crate::symlinks::{self, folder_of};

/// The files beside the state file, from SQLite and from us.
const NEIGHBOURS: [&str; 5] = ["-wal", "-shm", "-journal", ".lock", ".letters.lock"];

/// Calls `work` with the state file that `path` leads to, with the rights of its owner.
pub(crate) fn visit<T>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    owner::as_owner(path, || work(&resolve(path)?))
}

/// The one path of the state file that `path` leads to, whether it exists yet or not.
///
/// # Errors
/// [`StoreError::Misplaced`] when it is a mount point, [`StoreError::Unavailable`] when it has several names or when a
/// file beside it is not as it must be.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    let fail = |doing, error| StoreError::from_io(path, doing, &error);
    let state = symlinks::resolve(path).map_err(|error| fail("follow its links", error))?;
    refuse_names(&state)?;
    refuse_mount(&state, "")?;
    for suffix in NEIGHBOURS {
        check(&state, suffix)
            .map_err(|error| StoreError::from_io(&state, "use the files beside it", &error))?;
        refuse_mount(&state, suffix)?;
    }
    Ok(state)
}

/// Opens the state file, or the one beside it with this suffix, with `options`. Never waits for another process.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is none; others when it is not a regular file with one name.
pub(crate) fn open(state: &Path, suffix: &str, options: &mut OpenOptions) -> io::Result<File> {
    check(state, suffix)?;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.custom_flags(flags).open(sibling_path(state, suffix))?;
    // It may have been replaced since it was checked.
    judge(state, suffix, &file.metadata()?)?;
    Ok(file)
}

/// Like [`open`], for reading.
pub(crate) fn open_to_read(state: &Path, suffix: &str) -> io::Result<File> {
    open(state, suffix, OpenOptions::new().read(true))
}

/// Refuses an existing file unless it is a regular file, with one name, of a user who may put files there.
fn check(state: &Path, suffix: &str) -> io::Result<()> {
    match std::fs::symlink_metadata(sibling_path(state, suffix)) {
        Ok(metadata) => judge(state, suffix, &metadata),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(error),
    }
}

fn judge(state: &Path, suffix: &str, metadata: &Metadata) -> io::Result<()> {
    let reason = match odd_kind(metadata) {
        Some(kind) => format!("is {kind}, not a regular file"),
        None if metadata.nlink() > 1 => format!("has {} names (hard links)", metadata.nlink()),
        None if !may_be_of(metadata.uid(), state)? => format!("belongs to the user {}", metadata.uid()),
        None => return Ok(()),
    };
    let path = sibling_path(state, suffix);
    let text = format!("`{}` {reason}: find out who put it there, then remove it", path.display());
    Err(io::Error::other(text))
}

/// Whether `user` may own a file beside `state`.
fn may_be_of(user: u32, state: &Path) -> io::Result<bool> {
    let owner_of_state = state.symlink_metadata().map_or(0, |metadata| metadata.uid());
    let owner_of_folder = folder_of(state).metadata()?.uid();
    Ok([0, geteuid().as_raw(), owner_of_state, owner_of_folder].contains(&user))
}

/// The kind of a file that is not a regular file.
fn odd_kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_symlink() => Some("a symbolic link"),
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_fifo() => Some("a FIFO"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

/// Refuses several names: the log and the lock lie beside one of them, and SQLite looks for them beside the other.
fn refuse_names(state: &Path) -> Result<(), StoreError> {
    let Ok(metadata) = state.symlink_metadata() else { return Ok(()) };
    let detail = match odd_kind(&metadata) {
        Some(kind) => format!("it is {kind}"),
        None if metadata.nlink() > 1 => format!(
            "it has {} names (hard links), and its log and its lock lie beside one of them only: stop every daemon that \
             uses it, then remove the other names",
            metadata.nlink()
        ),
        None => return Ok(()),
    };
    Err(StoreError::Unavailable { path: state.to_owned(), detail })
}

/// Refuses a single file that was mounted: its log and its lock are in another file system.
fn refuse_mount(state: &Path, suffix: &str) -> Result<(), StoreError> {
    let file = sibling_path(state, suffix);
    if is_mount(&file) { Err(StoreError::Misplaced { path: file }) } else { Ok(()) }
}

/// Whether something is mounted at `path`, which contains no links.
#[cfg(target_os = "linux")]
fn is_mount(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Err(rustix::io::Errno::NOENT) => false,
        Ok(found) if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
        }
        // Linux before 5.8 has only the list of mounts.
        _ => std::fs::read("/proc/self/mountinfo").is_ok_and(|mounts| is_listed(&mounts, path)),
    }
}

/// Whether a line of `mounts` (`man 5 proc_pid_mountinfo`) describes `path`.
#[cfg(target_os = "linux")]
fn is_listed(mounts: &[u8], path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let escape = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![*byte],
    };
    let path: Vec<u8> = path.as_os_str().as_bytes().iter().flat_map(escape).collect();
    mounts.split(|byte| *byte == b'\n').any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(&path))
}

#[cfg(not(target_os = "linux"))]
fn is_mount(_: &Path) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_in_the_list_of_an_older_kernel_by_its_whole_path() {
        let mounts = b"36 35 98:0 / / rw - ext4 /dev/vda rw\n\
            37 36 98:0 /host.db /data/b24\\040relay.db rw,noatime shared:1 - ext4 /dev/vda rw\n";
        assert!(is_listed(mounts, Path::new("/data/b24 relay.db")));
        assert!(!is_listed(mounts, Path::new("/data/b24")));
        assert!(!is_listed(mounts, Path::new("/host.db")));
    }
}
