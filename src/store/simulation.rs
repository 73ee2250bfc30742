//! A state in memory, for the simulation of the relay: it is as slow and as full as a script says, and can be
//! looked at from beside, at once and undisturbed by that script.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::{Connection, Row};

use crate::checkpoint::Checkpoint;
use crate::event::Seq;
use crate::store::error::StoreError;
use crate::store::handle::Disk;
use crate::store::handle::Store;
use crate::store::schema::migrations;
use crate::store::table::checkpoints::Tally;

/// The records of one source at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Each sink that has a checkpoint.
    pub lanes: BTreeMap<String, LaneView>,
    /// The events in the journal: generation and id, by sequence number.
    pub journal: BTreeMap<u64, (u64, u64)>,
    /// Each sink's dead letters: queue and id.
    pub dead_letters: BTreeSet<(String, String, u64)>,
    /// As [`crate::store::table::journal::Reading::generation`].
    pub generation: u64,
    /// As [`crate::store::table::journal::Reading::next`].
    pub next: u64,
    /// As [`crate::store::table::journal::Reading::confirmed`].
    pub confirmed: u64,
    /// Events that disappeared unconfirmed.
    pub stolen: u64,
    /// The start and end of each gap, in Unix milliseconds by the portal's clock.
    pub gaps: Vec<(i64, i64)>,
}

/// The record of one lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneView {
    /// What is settled.
    pub checkpoint: Checkpoint,
    /// What became of it.
    pub tally: Tally,
    /// As [`crate::store::table::checkpoints::LaneRecord::start_ms`].
    pub start_ms: Option<i64>,
}

impl Store {
    /// Creates a state in memory. Every access takes as long as `script` says, before the work and after it, or fails
    /// as it says. The state lives as long as the last clone: dropping everything else simulates a crash.
    pub fn simulated(script: fn() -> Result<Duration, String>) -> Result<Self, StoreError> {
        let path = Path::new(":memory:");
        let connection =
            migrations::new_in_memory().map_err(|error| StoreError::from_sqlite(path, &error))?;
        Ok(Self::new(connection, path, Disk::Simulated(script), None))
    }

    /// Runs `work` as slowly as `script` says.
    pub(in crate::store) async fn visit_slowly<T>(
        &self,
        script: fn() -> Result<Duration, String>,
        work: impl FnOnce() -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let unavailable = |detail| StoreError::Unavailable { path: self.path.to_path_buf(), detail };
        tokio::time::sleep(script().map_err(unavailable)?).await;
        let outcome = work();
        tokio::time::sleep(script().unwrap_or_default()).await;
        outcome
    }

    /// Reads the records of `source` at once.
    pub fn view(&self, source: &str) -> Result<View, StoreError> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        view(&database.connection, source).map_err(|error| StoreError::from_sqlite(&self.path, &error))
    }
}

fn view(connection: &Connection, source: &str) -> rusqlite::Result<View> {
    let lanes = "SELECT sink, next, above, delivered, filtered, expired, buried, start_ms FROM lane WHERE source = ?1";
    let source_row = "SELECT generation, next_seq, confirmed, stolen FROM source WHERE name = ?1";
    let numbers =
        rows(connection, source_row, source, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let (generation, next, confirmed, stolen) = numbers.first().copied().unwrap_or((1, 1, 1, 0));
    let batches = "SELECT first, generation, ids FROM batch WHERE source = ?1";
    let mut journal = BTreeMap::new();
    for (first, generation, ids) in rows(connection, batches, source, |row| {
        Ok((row.get::<_, u64>(0)?, row.get(1)?, row.get::<_, String>(2)?))
    })? {
        let ids: Vec<u64> = serde_json::from_str(&ids).unwrap_or_default();
        journal.extend((first..).zip(ids).map(|(seq, id)| (seq, (generation, id))));
    }
    let letters = "SELECT sink, queue, id FROM dead_letter WHERE source = ?1";
    let gaps = "SELECT from_ms, to_ms FROM gap WHERE source = ?1 ORDER BY number";
    Ok(View {
        lanes: rows(connection, lanes, source, lane)?.into_iter().collect(),
        journal,
        dead_letters: rows(connection, letters, source, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .into_iter()
            .collect(),
        generation,
        next,
        confirmed,
        stolen,
        gaps: rows(connection, gaps, source, |row| Ok((row.get(0)?, row.get(1)?)))?,
    })
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    source: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map([source], read)?.collect()
}

fn lane(row: &Row<'_>) -> rusqlite::Result<(String, LaneView)> {
    let above: String = row.get(2)?;
    let checkpoint = Seq::try_new(row.get(1)?).and_then(|next| Checkpoint::parse(next, &above));
    let checkpoint = checkpoint.ok_or(rusqlite::Error::InvalidQuery)?;
    let tally =
        Tally { delivered: row.get(3)?, filtered: row.get(4)?, expired: row.get(5)?, buried: row.get(6)? };
    Ok((row.get(0)?, LaneView { checkpoint, tally, start_ms: row.get(7)? }))
}
