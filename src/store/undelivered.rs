//! Which events some sink has not got, for a command that would take them away from it. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::{Store, StoreError};
use crate::checkpoint::Checkpoint;
use crate::event::{EventId, Offset};

/// What the state file knows of a source's sinks.
#[derive(Debug, Default)]
pub struct Undelivered {
    /// By sink, also of those that are no longer configured: what is settled.
    pub lanes: BTreeMap<String, Checkpoint>,
    /// The events in the journal.
    pub journal: BTreeSet<EventId>,
}

impl Undelivered {
    /// A sink that is not on record has got nothing.
    pub fn begin(&mut self, sink: &str) {
        self.lanes.entry(sink.to_owned()).or_insert_with(|| Checkpoint::at(Offset::START));
    }

    /// Whether any of the sinks has not settled `id`.
    pub fn lacks(&self, id: EventId) -> bool {
        self.lanes.values().any(|checkpoint| !checkpoint.covers(id))
    }
}

impl Store {
    /// The checkpoints of `source`, and the ids that the journal holds from the lowest of them on.
    ///
    /// # Errors
    /// As [`Store::commit`], and [`StoreError::Damaged`] when a checkpoint is none.
    pub async fn undelivered(&self, source: &str) -> Result<Undelivered, StoreError> {
        let source = source.to_owned();
        let (lanes, ids) = self.run(move |connection| select(connection, &source)).await?;
        let damaged = |sink: &str| self.damaged(format!("the checkpoint of `{sink}` cannot be read"));
        let lanes = lanes.into_iter().map(|(sink, offset, above)| {
            let checkpoint = Offset::try_new(offset).and_then(|offset| Checkpoint::parse(offset, &above));
            let checkpoint = checkpoint.ok_or_else(|| damaged(&sink))?;
            Ok((sink, checkpoint))
        });
        let journal = ids.into_iter().filter_map(EventId::try_new).collect();
        Ok(Undelivered { lanes: lanes.collect::<Result<_, StoreError>>()?, journal })
    }

    /// The sources of which `sink` is on record.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn sources_of(&self, sink: &str) -> Result<Vec<String>, StoreError> {
        let sink = sink.to_owned();
        self.run(move |connection| {
            let mut select =
                connection.prepare("SELECT source FROM checkpoint WHERE sink = ?1 ORDER BY source")?;
            let sources = select.query_map([sink], |row| row.get(0))?;
            sources.collect()
        })
        .await
    }
}

type Lane = (String, u64, String);

fn select(connection: &mut Connection, source: &str) -> rusqlite::Result<(Vec<Lane>, Vec<u64>)> {
    // One moment for both.
    let transaction = connection.transaction()?;
    let lanes = transaction
        .prepare("SELECT sink, offset, above FROM checkpoint WHERE source = ?1")?
        .query_map([source], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let ids = transaction
        .prepare(
            "SELECT id FROM journal WHERE source = ?1
             AND id >= (SELECT ifnull(min(offset), 1) FROM checkpoint WHERE source = ?1)",
        )?
        .query_map([source], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok((lanes, ids))
}
