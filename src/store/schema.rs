//! The layout of the state file and its migrations.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{StoreError, first, neighbour};

/// Marks a SQLite file as ours: "b24r".
const APPLICATION_ID: u32 = 0x6232_3472;

/// The owner alone: chat events and, later, tokens are nobody else's business.
const MODE: u32 = 0o600;

/// One step for each layout; `user_version` counts the steps taken. Never edit a step that was released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE source (
        name       TEXT PRIMARY KEY,
        identity   TEXT NOT NULL,
        adopted_ms INTEGER NOT NULL,
        polled_ms  INTEGER,
        trouble    TEXT NOT NULL DEFAULT ''
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE checkpoint (
        source       TEXT NOT NULL REFERENCES source (name),
        sink         TEXT NOT NULL,
        offset       INTEGER NOT NULL CHECK (offset >= 1),
        committed_ms INTEGER NOT NULL,
        delivered    INTEGER NOT NULL DEFAULT 0,
        filtered     INTEGER NOT NULL DEFAULT 0,
        trouble      TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (source, sink)
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE source ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 1 CHECK (confirmed >= 1);
    ALTER TABLE source ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE memory (
        key     TEXT PRIMARY KEY,
        value   TEXT NOT NULL,
        kept_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
];

/// Makes sure that there is a file, readable by its owner alone, and that its name is on the disk.
pub fn create_file(path: &Path) -> Result<(), StoreError> {
    let fail = |doing, error| StoreError::from_io(path, doing, &error);
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Ok(file) => file.sync_all().map_err(|error| fail("create it", error))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(fail("create it", error)),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| fail("write its folder to disk", error))
}

/// Takes away what group and others may do, as after a careless copy; also on what a kill left beside it.
fn restrict(state: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        match restrict_file(&neighbour(state, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::from_io(state, "look at its permissions", &error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn restrict_file(path: &Path) -> io::Result<()> {
    if path.metadata()?.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
    }
    Ok(())
}

/// Checks that the file is ours and sound, and brings it to the newest layout.
pub fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found = inspect(connection, path)?;
    // Not before: the permissions of somebody else's database are none of our business.
    restrict(path)?;
    let fail = |error| StoreError::from_sqlite(path, &error);
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(fail)?;
    migrate(connection, found).map_err(fail)
}

/// The layout of the file: 0 for an empty one.
pub fn inspect(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let fail = |error| StoreError::from_sqlite(path, &error);
    let verdict: Option<String> = first(connection, "PRAGMA quick_check(1)").map_err(fail)?;
    if let Some(detail) = verdict.filter(|verdict| verdict != "ok") {
        return Err(StoreError::Damaged { path: path.to_owned(), detail });
    }
    let application_id: u32 = first(connection, "PRAGMA application_id").map_err(fail)?.unwrap_or(0);
    let layout: u32 = first(connection, "PRAGMA user_version").map_err(fail)?.unwrap_or(0);
    let objects: u32 = first(connection, "SELECT count(*) FROM sqlite_schema").map_err(fail)?.unwrap_or(0);
    let is_empty = application_id == 0 && layout == 0 && objects == 0;
    if application_id != APPLICATION_ID && !is_empty {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if layout > known {
        return Err(StoreError::Newer { path: path.to_owned(), found: layout, known });
    }
    Ok(layout)
}

/// Whether the file has the newest layout already, so that a second process may work with it.
pub fn is_current(path: &Path) -> Result<bool, StoreError> {
    let opened = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection = opened.map_err(|error| StoreError::from_sqlite(path, &error))?;
    Ok(inspect(&connection, path)? as usize == MIGRATIONS.len())
}

fn migrate(connection: &mut Connection, found: u32) -> rusqlite::Result<()> {
    for (layout, step) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", layout)?;
        transaction.commit()?;
    }
    Ok(())
}
