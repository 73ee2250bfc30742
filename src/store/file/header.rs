//! What the first bytes of the state file tell before SQLite opens it.

use std::io::ErrorKind;
use std::io::Read as _;
use std::path::Path;

use crate::store::error::StoreError;
use crate::store::file::open_files::is_in_use;
use crate::store::file::place::location;
use crate::store::paths::sibling_path;
use crate::store::paths::was_taken;
use crate::store::schema::migrations;

/// The smallest page size of a database.
const PAGE_MIN: u64 = 512;

/// Refuses a file that SQLite would treat wrongly. A file shorter than one page is no database: SQLite would take it
/// for an empty one and delete its log. An empty file is new if it was created for us, but not if it was used before. A
/// header with an unknown version would make the file read-only, and one with another text encoding would make it
/// unreadable.
///
/// # Errors
/// [`StoreError::Damaged`].
pub(crate) fn refuse_cut(path: &Path) -> Result<(), StoreError> {
    // It was checked before it was opened.
    if is_in_use(path) {
        return Ok(());
    }
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let is_new = || !was_taken(path) && !sibling_path(path, "-wal").exists();
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
    let is_read = location::open_to_read(path, "").and_then(|mut file| file.read_exact(&mut header)).is_ok();
    let is_ours = header[68..] == migrations::APPLICATION_ID.to_be_bytes()[4..];
    let is_odd_version = header[18..20].iter().any(|version| !matches!(version, 1 | 2));
    is_read
        && header.starts_with(b"SQLite format 3\0")
        && (is_odd_version || is_ours && header[56..60] != [0, 0, 0, 1])
}

/// Whether there is nothing at `path`, or an empty file.
pub(crate) fn is_missing(path: &Path) -> bool {
    match path.metadata() {
        Ok(metadata) => metadata.is_file() && metadata.len() == 0,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}
