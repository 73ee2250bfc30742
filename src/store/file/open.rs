//! The state file as a file: it is complete before it gets its name, and it is opened only if nothing beside it
//! contradicts it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::failpoint;
use crate::store::error::StoreError;
use crate::store::file::header::is_missing;
use crate::store::file::header::refuse_cut;
use crate::store::file::place::durable_dir;
use crate::store::file::space;
use crate::store::file::wal;
use crate::store::paths::sibling_path;
use crate::store::schema::checksum;
use crate::store::schema::migrations;

/// How long a statement waits for a reader (`status`, a backup) before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The files that SQLite may leave beside a database.
const NEIGHBOURS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Creates the state file, readable only by its owner, if there is none or only an empty one. It gets its name when it
/// is complete, so we never leave an empty file.
///
/// # Errors
/// [`StoreError::Unavailable`], and [`StoreError::Damaged`] when a file beside it contradicts it. Existing files are
/// left alone.
pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
    let fail = |doing, error| StoreError::from_io(path, doing, &error);
    wal::inspect(path)?;
    if !is_missing(path) {
        return Ok(());
    }
    let draft = sibling_path(path, ".new");
    remove(&draft).map_err(|error| fail("remove what a kill has left", error))?;
    create_private(&draft).map_err(|error| fail("create it", error))?;
    fill(&draft).map_err(|error| StoreError::from_sqlite(path, &error))?;
    failpoint::reached("creating");
    std::fs::rename(&draft, path).map_err(|error| fail("name it", error))?;
    failpoint::reached("created");
    durable_dir::sync_name(path).map_err(|error| fail("write its folder to disk", error))
}

fn fill(draft: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(draft, flags)?;
    checksum::register_function(&connection)?;
    // This must be set before the first table: later it takes a VACUUM.
    connection.pragma_update(None, "page_size", space::PAGE_BYTES)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    migrations::migrate(&mut connection, 0)
}

/// Creates a file that only its owner may read. A link at `path` is not followed: it counts as an existing file.
pub(crate) fn create_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(migrations::MODE).open(path)
}

/// Removes the database at `path`, which no process uses, if there is one.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in NEIGHBOURS.iter().chain(&[""]) {
        match std::fs::remove_file(sibling_path(path, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Opens the file that [`create`] has looked at, to write to it.
///
/// # Errors
/// See [`StoreError`].
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    connect(path, path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Opens the file for reading, without changing anything.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    wal::inspect_beside(path)?;
    refuse_cut(path)?;
    if is_missing(path) {
        let detail = "there is none yet: has `b24relay run` been started with this configuration?".to_owned();
        return Err(StoreError::Unavailable { path: path.to_owned(), detail });
    }
    connect(path, path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens a file that was found damaged, to copy it.
pub(crate) fn open_damaged(path: &Path) -> Result<Connection, StoreError> {
    open_unchecked(path, path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens another connection for reading to the file, which this process has open and has checked.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    connect(path, path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Whether the file has the newest layout, so that a second process may use it.
pub(crate) fn is_current(path: &Path) -> Result<bool, StoreError> {
    Ok(migrations::identify(&open_to_read(path)?, path)? == migrations::newest())
}

/// Opens the file without its log, and leaves the log as it is.
pub(crate) fn open_without_log(path: &Path) -> Result<Connection, StoreError> {
    let absolute = std::path::absolute(path).map_err(|error| StoreError::from_io(path, "find it", &error))?;
    let mut address = "file:".to_owned();
    for &byte in absolute.as_os_str().as_encoded_bytes() {
        // Escape the bytes that would end the path in SQLite's URIs, or that are not ASCII.
        match byte {
            b'?' | b'#' | b'%' | 0x80.. => address.extend(["%", &format!("{byte:02X}")]),
            _ => address.push(byte.into()),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    connect(path, Path::new(&format!("{address}?immutable=1")), flags)
}

fn connect(path: &Path, address: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    if path.is_dir() {
        return Err(StoreError::Unavailable {
            path: path.to_owned(),
            detail: "it is a directory".to_owned(),
        });
    }
    refuse_cut(path)?;
    open_unchecked(path, address, flags)
}

fn open_unchecked(path: &Path, address: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let fail = |error| StoreError::from_sqlite(path, &error);
    #[cfg_attr(not(test), expect(unused_mut, reason = "a test watches what it does"))]
    let mut connection =
        Connection::open_with_flags(address, flags | OpenFlags::SQLITE_OPEN_NOFOLLOW).map_err(fail)?;
    #[cfg(test)]
    crate::store::tests::watch(&mut connection, path);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    migrations::plan_once(&connection).map_err(fail)?;
    checksum::register_function(&connection).map_err(fail)?;
    Ok(connection)
}
