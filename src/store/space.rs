//! The file's size: what is deleted leaves no text in the file, and its pages go back to the disk.

use std::path::Path;

use rusqlite::Connection;

use super::{StoreError, first};

/// Up to this size a file is checked before the start, and rebuilt once if it cannot shrink.
pub const SMALL_BYTES: u64 = 64 * 1024 * 1024;

/// How many pages of 4 KiB one step gives back: commits wait for it meanwhile.
const STEP_PAGES: u32 = 256;

/// So many free pages stay for what is written next.
const RESERVE_PAGES: u32 = 256;

/// Whether the file at `path` is that small.
pub fn is_small(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.len() <= SMALL_BYTES)
}

/// Has `connection` overwrite what it deletes; a small file that was made without `auto_vacuum` is rebuilt with it.
pub fn prepare(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let fail = |error| StoreError::from_sqlite(path, &error);
    connection.pragma_update(None, "secure_delete", true).map_err(fail)?;
    let auto_vacuum: Option<i64> = first(connection, "PRAGMA auto_vacuum").map_err(fail)?;
    if auto_vacuum == Some(0) && is_small(path) {
        // On a full disk, or beside a reader, it stays as it is until another start.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM").ok();
    }
    Ok(())
}

/// Gives some free pages back to the disk; says whether it did.
pub fn shrink(connection: &Connection) -> rusqlite::Result<bool> {
    let free = || first::<u32>(connection, "PRAGMA freelist_count").map(Option::unwrap_or_default);
    let before = free()?;
    let pages = before.saturating_sub(RESERVE_PAGES).min(STEP_PAGES);
    if pages == 0 {
        return Ok(false);
    }
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    // It frees a page whenever it is asked for the next row.
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    let after = free()?;
    if after < before && after <= RESERVE_PAGES {
        // The file itself is cut when the log is written back to it; beside a reader that happens later.
        first::<i64>(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
    }
    Ok(after < before)
}
