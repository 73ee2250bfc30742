//! What `status` reads: the state file beside a running daemon, without its lock, changing nothing.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::lock::Lock;
use super::{BUSY_TIMEOUT, StoreError, schema};

/// The state file at one moment.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Who runs on it, if anybody does.
    pub holder: Option<String>,
    /// The sources by name.
    pub sources: Vec<SourceReport>,
    /// The lanes by source and sink.
    pub lanes: Vec<LaneReport>,
}

/// One source.
#[derive(Debug, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// The queue it reads.
    pub identity: String,
    /// When its last finished poll was noted, in Unix milliseconds.
    pub polled_ms: Option<i64>,
    /// What keeps it from polling; empty when nothing does.
    pub trouble: String,
    /// The portal has been told to forget all below it.
    pub confirmed: u64,
    /// How often the portal had stopped recording without our doing, as far as it can be seen.
    pub losses: u64,
}

/// One sink's way through one source.
#[derive(Debug, Serialize)]
pub struct LaneReport {
    /// The source's name.
    pub source: String,
    /// The sink's name.
    pub sink: String,
    /// Its checkpoint.
    pub offset: u64,
    /// When that was committed, in Unix milliseconds.
    pub committed_ms: i64,
    /// How many events it has delivered so far.
    pub delivered: u64,
    /// How many its filter has left out so far.
    pub filtered: u64,
    /// What keeps it from settling; empty when nothing does.
    pub trouble: String,
}

/// Reads the state file.
pub fn read(path: &Path) -> Result<Report, StoreError> {
    let fail = |error| StoreError::from_sqlite(path, &error);
    if matches!(path.try_exists(), Ok(false)) {
        let detail = "there is none yet: has `b24relay run` been started with this configuration?".to_owned();
        return Err(StoreError::Unavailable { path: path.to_owned(), detail });
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(fail)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    let (mut sources, mut lanes) = (Vec::new(), Vec::new());
    let layout = schema::inspect(&connection, path)?;
    // Layout 0: created a moment ago, nothing in it yet.
    if layout > 0 {
        sources = select_sources(&connection, layout).map_err(fail)?;
        lanes = select_lanes(&connection).map_err(fail)?;
    }
    Ok(Report { holder: Lock::holder(path), sources, lanes })
}

fn select_sources(connection: &Connection, layout: u32) -> rusqlite::Result<Vec<SourceReport>> {
    // Looking must not change the file, so one that was not brought to the newest layout yet is read as it is.
    let newer = if layout >= 2 { "confirmed, losses" } else { "1, 0" };
    let mut select = connection
        .prepare(&format!("SELECT name, identity, polled_ms, trouble, {newer} FROM source ORDER BY name"))?;
    let rows = select.query_map([], |row| {
        Ok(SourceReport {
            name: row.get(0)?,
            identity: row.get(1)?,
            polled_ms: row.get(2)?,
            trouble: row.get(3)?,
            confirmed: row.get(4)?,
            losses: row.get(5)?,
        })
    })?;
    rows.collect()
}

fn select_lanes(connection: &Connection) -> rusqlite::Result<Vec<LaneReport>> {
    let mut select = connection.prepare(
        "SELECT source, sink, offset, committed_ms, delivered, filtered, trouble FROM checkpoint ORDER BY source, sink",
    )?;
    let rows = select.query_map([], |row| {
        Ok(LaneReport {
            source: row.get(0)?,
            sink: row.get(1)?,
            offset: row.get(2)?,
            committed_ms: row.get(3)?,
            delivered: row.get(4)?,
            filtered: row.get(5)?,
            trouble: row.get(6)?,
        })
    })?;
    rows.collect()
}
