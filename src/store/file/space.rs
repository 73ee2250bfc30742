//! The size of the file: deleted text is overwritten, and free pages are returned to the disk.

use std::path::Path;

use rusqlite::Connection;

use crate::store::error::StoreError;
use crate::store::sql::first;

/// Up to this size a file is checked before the start, and rebuilt once if it cannot shrink.
pub(crate) const SMALL_BYTES: u64 = 64 * 1024 * 1024;

/// The page size of a new file. A row of the journal is about a hundred times as large as SQLite's default page, and
/// each page costs two writes to the log, one to the file, and a read when its row is deleted.
pub(crate) const PAGE_BYTES: u32 = 16 * 1024;

/// How much one step returns to the disk: commits wait for it.
const STEP_BYTES: u64 = 1024 * 1024;

/// How much stays free, at least, for the next writes.
const RESERVE_BYTES: u64 = 1024 * 1024;

/// Whether the file at `path` is no larger than [`SMALL_BYTES`].
pub(crate) fn is_small(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.len() <= SMALL_BYTES)
}

/// About how much the log holds when it is written back to the file. SQLite would count a thousand pages of any size,
/// and every reader of the file reads all of the log first.
const LOG_BYTES: u32 = 4 * 1024 * 1024;

/// Makes `connection` overwrite the data that it deletes. A small file that was created without `auto_vacuum` is
/// rebuilt with it.
pub(crate) fn prepare(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let fail = |error| StoreError::from_sqlite(path, &error);
    connection.pragma_update(None, "secure_delete", true).map_err(fail)?;
    let page_bytes: u32 = first(connection, "PRAGMA page_size").map_err(fail)?.unwrap_or(PAGE_BYTES);
    connection.pragma_update(None, "wal_autocheckpoint", LOG_BYTES / page_bytes.max(1)).map_err(fail)?;
    let auto_vacuum: Option<i64> = first(connection, "PRAGMA auto_vacuum").map_err(fail)?;
    if auto_vacuum == Some(0) && is_small(path) {
        // On a full disk, or beside a reader, it stays as it is until another start.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM").ok();
    }
    Ok(())
}

/// Returns some free pages to the disk, if they are more than `reserve` bytes. The result says whether it did.
pub(crate) fn shrink(connection: &Connection, reserve: u64) -> rusqlite::Result<bool> {
    let free = || first::<u32>(connection, "PRAGMA freelist_count").map(Option::unwrap_or_default);
    let page_bytes = first::<u64>(connection, "PRAGMA page_size")?.unwrap_or(PAGE_BYTES.into()).max(1);
    let pages_of = |bytes: u64| u32::try_from(bytes / page_bytes).unwrap_or(u32::MAX);
    let reserve = pages_of(reserve.max(RESERVE_BYTES));
    let before = free()?;
    let pages = before.saturating_sub(reserve).min(pages_of(STEP_BYTES));
    if pages == 0 {
        return Ok(false);
    }
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    // It frees a page whenever the next row is requested.
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    let after = free()?;
    if after < before && after <= reserve {
        // The file is truncated when the log is written back to it. Beside a reader that happens later.
        first::<i64>(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
    }
    Ok(after < before)
}
