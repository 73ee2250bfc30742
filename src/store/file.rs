//! The state file as a file: it is complete before it gets its name, and it is opened only if nothing beside it
//! contradicts it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::in_use::is_in_use;
use super::lock::Lock;
use super::{BUSY_TIMEOUT, StoreError, folder, neighbour, place, schema, seal, space, wal};
use crate::failpoint;

/// The files that SQLite may leave beside a database.
const NEIGHBOURS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The smallest page size of a database.
const PAGE_MIN: u64 = 512;

/// Creates the state file, readable only by its owner, if there is none or only an empty one. It gets its name when it
/// is complete, so we never leave an empty file.
///
/// # Errors
/// [`StoreError::Unavailable`], and [`StoreError::Damaged`] when a file beside it contradicts it. Existing files are
/// left alone.
pub fn create(path: &Path) -> Result<(), StoreError> {
    let fail = |doing, error| StoreError::from_io(path, doing, &error);
    wal::inspect(path)?;
    if !is_missing(path) {
        return Ok(());
    }
    let draft = neighbour(path, ".new");
    remove(&draft).map_err(|error| fail("remove what a kill has left", error))?;
    create_private(&draft).map_err(|error| fail("create it", error))?;
    fill(&draft).map_err(|error| StoreError::from_sqlite(path, &error))?;
    failpoint::reached("creating");
    std::fs::rename(&draft, path).map_err(|error| fail("name it", error))?;
    failpoint::reached("created");
    folder::sync_name(path).map_err(|error| fail("write its folder to disk", error))
}

/// Whether there is nothing at `path`, or an empty file.
pub fn is_missing(path: &Path) -> bool {
    match path.metadata() {
        Ok(metadata) => metadata.is_file() && metadata.len() == 0,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn fill(draft: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(draft, flags)?;
    seal::teach(&connection)?;
    // This must be set before the first table: later it takes a VACUUM.
    connection.pragma_update(None, "page_size", space::PAGE_BYTES)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    schema::migrate(&mut connection, 0)
}

/// Creates a file that only its owner may read. A link at `path` is not followed: it counts as an existing file.
pub fn create_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(schema::MODE).open(path)
}

/// Removes the database at `path`, which no process uses, if there is one.
pub fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in NEIGHBOURS.iter().chain(&[""]) {
        match std::fs::remove_file(neighbour(path, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a file that SQLite would treat wrongly. A file shorter than one page is no database: SQLite would take it
/// for an empty one and delete its log. An empty file is new if it was created for us, but not if it was used before. A
/// header with an unknown version would make the file read-only, and one with another text encoding would make it
/// unreadable.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn refuse_cut(path: &Path) -> Result<(), StoreError> {
    // It was checked before it was opened.
    if is_in_use(path) {
        return Ok(());
    }
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let is_new = || !Lock::was_taken(path) && !neighbour(path, "-wal").exists();
    let detail = match metadata.len() {
        _ if !metadata.is_file() => return Ok(()),
        0 if is_new() => return Ok(()),
        0 => "it is empty, and was in use before".to_owned(),
        length @ 1..PAGE_MIN => format!("it is cut off: {length} bytes are left"),
        _ if has_odd_header(path) => {
            "its header names no version or text encoding that it was written with".to_owned()
        }
        _ => return Ok(()),
    };
    Err(StoreError::Damaged { path: path.to_owned(), detail })
}

/// Whether it is a database of a version other than the two known ones, or one of ours that is not in UTF-8
/// (<https://www.sqlite.org/fileformat.html>, 1.3.3 and 1.3.13).
fn has_odd_header(path: &Path) -> bool {
    let mut header = [0; 72];
    let is_read = place::open_to_read(path, "").and_then(|mut file| file.read_exact(&mut header)).is_ok();
    let is_ours = header[68..] == schema::APPLICATION_ID.to_be_bytes()[4..];
    let is_odd_version = header[18..20].iter().any(|version| !matches!(version, 1 | 2));
    is_read
        && header.starts_with(b"SQLite format 3\0")
        && (is_odd_version || is_ours && header[56..60] != [0, 0, 0, 1])
}

/// Opens the file that [`create`] has checked, for writing.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    connect(path, path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Opens the file for reading, without changing anything.
pub fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    wal::inspect_beside(path)?;
    refuse_cut(path)?;
    if is_missing(path) {
        let detail = "there is none yet: has `b24relay run` been started with this configuration?".to_owned();
        return Err(StoreError::Unavailable { path: path.to_owned(), detail });
    }
    connect(path, path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens a file that was found damaged, to copy it.
pub fn open_damaged(path: &Path) -> Result<Connection, StoreError> {
    open_unchecked(path, path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens another connection for reading to the file, which this process has open and has checked.
pub fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    connect(path, path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Whether the file has the newest layout, so that a second process may use it.
pub fn is_current(path: &Path) -> Result<bool, StoreError> {
    Ok(schema::identify(&open_to_read(path)?, path)? == schema::newest())
}

/// Opens the file without its log, and leaves the log as it is.
pub fn open_without_log(path: &Path) -> Result<Connection, StoreError> {
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
    super::tests::watch(&mut connection, path);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    schema::plan_once(&connection).map_err(fail)?;
    seal::teach(&connection).map_err(fail)?;
    Ok(connection)
}
