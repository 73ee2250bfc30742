//! The data of `status`: reads the state file beside a running daemon, without its lock and without changing anything.

use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::event::Seq;
use crate::store::error::StoreError;
use crate::store::file::lock::{self, Lock};
use crate::store::file::open;
use crate::store::schema::migrations;
use crate::store::table::activity::LaneActivity;
use crate::store::table::skips;
use crate::store::table::skips::Skip;
use crate::store::table::sources::Gap;
use crate::store::table::sources::SourceNote;
use crate::wall_clock::now_ms;

/// How long the portal keeps an event (PORTAL.md 2.5).
pub const LIFETIME_S: i64 = 24 * 3600;

/// The state file at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The process that runs on it, if any.
    pub holder: Option<String>,
    /// Since when it runs, in Unix milliseconds, if it has noted that.
    pub holder_since_ms: Option<i64>,
    /// Why nothing goes on, if so: the state file cannot be written.
    pub trouble: Option<String>,
    /// The sources by name.
    pub sources: Vec<SourceReport>,
    /// The lanes by source and sink.
    pub lanes: Vec<LaneReport>,
    /// The dead letters by sink.
    pub dead_letters: Vec<DeadLetterReport>,
    /// The portals that have moved.
    pub moves: Vec<MoveReport>,
}

/// One source.
#[derive(Clone, Debug, Serialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// The queue it reads.
    pub identity: String,
    /// The name of the user whose queue it is, once the portal has reported it.
    pub user: Option<String>,
    /// When its last finished poll was noted, in Unix milliseconds.
    pub polled_ms: Option<i64>,
    /// Its activity, as the daemon noted it last.
    #[serde(skip)]
    pub note: SourceNote,
    /// The portal was asked to forget everything below it.
    pub confirmed: u64,
    /// Nothing below it is wanted, because an operator or an older version decided so; 1 when everything is wanted.
    pub floor: u64,
    /// How often the portal had stopped recording without our doing, if that could be noticed.
    pub losses: u64,
    /// The generation of the portal's counter that it reads: a portal that was restored begins the next.
    pub generation: u64,
    /// The sequence number of the next event.
    pub next: u64,
    /// All events before this time are settled or in the journal, in Unix milliseconds by the portal's clock.
    pub covered_ms: Option<i64>,
    /// By how many milliseconds the portal's clock is ahead of this machine's.
    pub skew_ms: i64,
    /// How long until the portal deletes events that are not stored yet, if any are waiting there. Below zero, it has
    /// begun to.
    pub retention_left_s: Option<i64>,
    /// How many events have disappeared from the portal before they were confirmed.
    pub stolen: u64,
    /// When that happened last, in Unix milliseconds.
    pub stolen_ms: Option<i64>,
    /// The time ranges in which the portal may have deleted events that were never read, in order.
    pub gaps: Vec<GapReport>,
    /// How many events are in the journal.
    pub journal_events: u64,
    /// Their size in bytes.
    pub journal_bytes: u64,
}

/// One sink's way through one source.
#[derive(Clone, Debug, Serialize)]
pub struct LaneReport {
    /// The source's name.
    pub source: String,
    /// The sink's name.
    pub sink: String,
    /// Its checkpoint: all events before this sequence number are settled.
    pub next: u64,
    /// When the checkpoint was committed, in Unix milliseconds.
    pub committed_ms: i64,
    /// How many events it has delivered so far.
    pub delivered: u64,
    /// How many its filter has excluded so far.
    pub filtered: u64,
    /// How many were too old for it so far.
    pub expired: u64,
    /// How many it has rejected so far.
    pub buried: u64,
    /// How many of those are still there, as dead letters.
    pub dead_letters: u64,
    /// How many of the events that the source has read are not settled.
    pub pending: u64,
    /// When the oldest of these was read, in Unix milliseconds.
    pub oldest_pending_ms: Option<i64>,
    /// Its activity, as the daemon noted it last.
    #[serde(skip)]
    pub activity: LaneActivity,
    /// Since when it has that state, in Unix milliseconds.
    pub since_ms: Option<i64>,
    /// When it tries again, in Unix milliseconds.
    pub next_ms: Option<i64>,
    /// Why it does not settle events; empty when nothing prevents it.
    pub trouble: String,
}

/// A time range whose events may be lost.
#[derive(Clone, Debug, Serialize)]
pub struct GapReport {
    /// Its start, as text.
    pub from: String,
    /// Its end, as text.
    pub to: String,
    /// Its start, in Unix milliseconds by the portal's clock.
    pub from_ms: i64,
    /// Its end, in Unix milliseconds by the portal's clock.
    pub to_ms: i64,
    /// The events that the operator has given up, if the gap is due to that.
    pub skipped: Option<Skip>,
}

impl GapReport {
    /// Describes the loss.
    pub fn told(&self) -> String {
        match &self.skipped {
            Some(skip) => format!("{}: skipped by a person", skip.told()),
            None => format!("events from {} to {} may be lost", self.from, self.to),
        }
    }
}

/// A portal that has moved.
#[derive(Clone, Debug, Serialize)]
pub struct MoveReport {
    /// Its host in the configuration.
    pub portal: String,
    /// Its address now.
    pub moved_to: String,
}

/// The dead letters of one sink, whether it is configured or not.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetterReport {
    /// The sink's name.
    pub sink: String,
    /// How many there are.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// When the oldest one was buried, in Unix milliseconds.
    pub oldest_ms: i64,
}

/// Opens the state file for reading. A file of an older layout is migrated in memory, because reading must not change
/// it.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = open::open_to_read(path)?;
    let layout = migrations::inspect_lightly(&connection, path)?;
    let brought = migrations::brought_to_newest(&connection, layout);
    Ok(brought.map_err(|error| StoreError::from_sqlite(path, &error))?.unwrap_or(connection))
}

/// Reads the state file.
pub(crate) fn read(path: &Path) -> Result<Report, StoreError> {
    let holder = Lock::holder(path);
    let connection = open(path)?;
    let select = |connection: &Connection| -> rusqlite::Result<Report> {
        // Read everything at one moment.
        let connection = connection.unchecked_transaction()?;
        let (holder, trouble) = holder.map_or((None, None), |holder| (Some(holder.name), holder.trouble));
        Ok(Report {
            holder_since_ms: holder.as_deref().and_then(lock::since_ms),
            holder,
            trouble,
            sources: select_sources(&connection)?,
            lanes: select_lanes(&connection)?,
            dead_letters: select_graves(&connection)?,
            moves: select_moves(&connection)?,
        })
    };
    select(&connection).map_err(|error| StoreError::from_sqlite(path, &error))
}

/// Leaves out portals that have returned to their first address.
fn select_moves(connection: &Connection) -> rusqlite::Result<Vec<MoveReport>> {
    let mut select = connection.prepare(
        "SELECT substr(key, 6), rtrim(substr(value, instr(value, '//') + 2), '/') FROM memory
         WHERE substr(key, 1, 5) = 'home/' ORDER BY key",
    )?;
    let rows = select.query_map([], |row| Ok(MoveReport { portal: row.get(0)?, moved_to: row.get(1)? }))?;
    rows.filter(|row| row.as_ref().map_or(true, |moved| moved.portal != moved.moved_to)).collect()
}

fn select_sources(connection: &Connection) -> rusqlite::Result<Vec<SourceReport>> {
    let mut select = connection.prepare(
        "SELECT name, identity, polled_ms, trouble, confirmed, losses, generation, next_seq, covered_ms, skew_ms,
             stolen, stolen_ms, journal_bytes,
             floor, next_seq - ifnull((SELECT min(first) FROM batch WHERE source = name), next_seq),
             (SELECT nullif(value, '') FROM memory WHERE key = 'user/' || name)
         FROM source ORDER BY name",
    )?;
    let rows = select.query_map([], |row| {
        let name: String = row.get(0)?;
        let (covered_ms, skew_ms): (Option<i64>, i64) = (row.get(8)?, row.get(9)?);
        Ok(SourceReport {
            gaps: select_gaps(connection, &name)?,
            name,
            identity: row.get(1)?,
            polled_ms: row.get(2)?,
            note: SourceNote::parse(&row.get::<_, String>(3)?),
            confirmed: row.get(4)?,
            losses: row.get(5)?,
            generation: row.get(6)?,
            next: row.get(7)?,
            covered_ms,
            skew_ms,
            retention_left_s: covered_ms.map(|covered_ms| retention_left_s(covered_ms, skew_ms)),
            stolen: row.get(10)?,
            stolen_ms: row.get(11)?,
            journal_bytes: row.get(12)?,
            floor: row.get(13)?,
            journal_events: row.get(14)?,
            user: row.get(15)?,
        })
    })?;
    rows.collect()
}

fn retention_left_s(covered_ms: i64, skew_ms: i64) -> i64 {
    let age_ms = now_ms().saturating_add(skew_ms).saturating_sub(covered_ms);
    // A clock that was set back does not extend the retention.
    LIFETIME_S.saturating_sub(age_ms.div_euclid(1000)).min(LIFETIME_S)
}

fn select_gaps(connection: &Connection, source: &str) -> rusqlite::Result<Vec<GapReport>> {
    let skips = skips::select(connection, source)?;
    let mut select = connection
        .prepare_cached("SELECT number, from_ms, to_ms FROM gap WHERE source = ?1 ORDER BY number")?;
    let rows = select.query_map([source], |row| {
        let gap = Gap { number: row.get(0)?, from_ms: row.get(1)?, to_ms: row.get(2)? };
        let [from, to] = gap.spelled();
        let skipped = skips.iter().find(|skip| skip.gap == gap.number).cloned();
        Ok(GapReport { from, to, from_ms: gap.from_ms, to_ms: gap.to_ms, skipped })
    })?;
    rows.collect()
}

fn select_graves(connection: &Connection) -> rusqlite::Result<Vec<DeadLetterReport>> {
    let mut select = connection.prepare(
        "SELECT sink, count(*), sum(bytes), min(buried_ms) FROM dead_letter GROUP BY sink ORDER BY sink",
    )?;
    let rows = select.query_map([], |row| {
        Ok(DeadLetterReport {
            sink: row.get(0)?,
            count: row.get(1)?,
            bytes: row.get(2)?,
            oldest_ms: row.get(3)?,
        })
    })?;
    rows.collect()
}

fn select_lanes(connection: &Connection) -> rusqlite::Result<Vec<LaneReport>> {
    let mut select = connection.prepare(
        // Before its first commit a lane is on record at 1, whatever the journal has deleted by then.
        "SELECT source, sink, max(next, ifnull((SELECT min(first) FROM batch WHERE batch.source = name), next_seq)),
             committed_ms, delivered, filtered, lane.trouble, expired, buried, state, since_ms,
             next_ms, above, next_seq,
             (SELECT count(*) FROM dead_letter WHERE dead_letter.source = lane.source AND dead_letter.sink = lane.sink),
             iif(next < next_seq, ifnull(
                 (SELECT received_ms FROM batch WHERE batch.source = name AND first <= next ORDER BY first DESC LIMIT 1),
                 (SELECT received_ms FROM batch WHERE batch.source = name ORDER BY first LIMIT 1)), NULL)
         FROM lane JOIN source ON name = source ORDER BY source, sink",
    )?;
    let rows = select.query_map([], |row| {
        Ok(LaneReport {
            source: row.get(0)?,
            sink: row.get(1)?,
            next: row.get(2)?,
            committed_ms: row.get(3)?,
            delivered: row.get(4)?,
            filtered: row.get(5)?,
            trouble: row.get(6)?,
            expired: row.get(7)?,
            buried: row.get(8)?,
            activity: row.get(9)?,
            since_ms: row.get(10)?,
            next_ms: row.get(11)?,
            pending: pending(row.get(2)?, &row.get::<_, String>(12)?, row.get(13)?),
            dead_letters: row.get(14)?,
            oldest_pending_ms: row.get(15)?,
        })
    })?;
    rows.collect()
}

/// How many events before `end` a lane has not settled.
fn pending(next: u64, above: &str, end: u64) -> u64 {
    let checkpoint = Seq::try_new(next).and_then(|next| Checkpoint::parse(next, above));
    checkpoint.zip(Seq::try_new(end)).map_or(0, |(checkpoint, end)| checkpoint.pending(end))
}
