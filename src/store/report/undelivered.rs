//! The events that some sink has not settled, for a command that would take them away from it. Changes nothing.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};

use crate::checkpoint::Checkpoint;
use crate::event::Seq;
use crate::event::{EventId, Offset};
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::table::checkpoints::Inherited;

/// The records of a source's sinks.
#[derive(Debug)]
pub struct Undelivered {
    /// The settled events by sink, including sinks that are no longer configured.
    lanes: BTreeMap<String, (Checkpoint, Option<Inherited>)>,
    /// The events of the journal that some sink has not settled, or that the portal may still have.
    journal: Vec<(Seq, EventId)>,
    /// Everything below it is settled although the journal never had it.
    floor: Offset,
    /// The portal was asked to forget everything below it.
    pub confirmed: Offset,
}

impl Default for Undelivered {
    fn default() -> Self {
        let (lanes, journal) = (BTreeMap::new(), Vec::new());
        Self { lanes, journal, floor: Offset::START, confirmed: Offset::START }
    }
}

impl Undelivered {
    /// Adds a sink, which has settled nothing unless it is on record.
    pub fn begin(&mut self, sink: &str) {
        self.lanes.entry(sink.to_owned()).or_insert_with(|| (Checkpoint::at(Seq::FIRST), None));
    }

    /// Whether `id`, which the portal has, is not in the journal, and some sink has not settled it.
    pub fn is_unread(&self, id: EventId) -> bool {
        self.journal.iter().all(|(_, known)| *known != id) && self.lacks(id, |_| true)
    }

    /// The events of the journal that a sink selected by `is_meant` has not settled.
    pub fn lacking<'a>(&'a self, is_meant: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = EventId> + 'a {
        let lacks = move |seq: Seq| {
            self.lanes.iter().any(|(sink, (checkpoint, _))| is_meant(sink) && !checkpoint.covers(seq))
        };
        self.journal.iter().filter(move |(seq, _)| lacks(*seq)).map(|(_, id)| *id)
    }

    /// The highest id of the queue that was ever recorded.
    pub fn highest(&self) -> Option<u64> {
        let below = self.floor.get().max(self.confirmed.get()) - 1;
        let known = self.journal.iter().map(|(_, id)| id.get());
        known.chain([below]).max().filter(|highest| *highest > 0)
    }

    /// Whether a sink selected by `is_meant` has not settled `id`, which the portal has.
    pub fn lacks(&self, id: EventId, is_meant: impl Fn(&str) -> bool) -> bool {
        let known = self.journal.iter().rev().find(|(_, other)| *other == id);
        self.lanes.iter().filter(|(sink, _)| is_meant(sink)).any(|(_, (checkpoint, inherited))| match known {
            Some((seq, _)) => !checkpoint.covers(*seq),
            None => self.floor.wants(id) && !inherited.as_ref().is_some_and(|inherited| inherited.covers(id)),
        })
    }
}

impl Store {
    /// The checkpoints of `source`, and the events of the journal that are not settled or may still be at the portal.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a checkpoint cannot be parsed, and the errors of [`Store::commit`].
    pub async fn undelivered(&self, source: &str) -> Result<Undelivered, StoreError> {
        let source = source.to_owned();
        let found = self.read(move |connection| select(connection, &source)).await?;
        let mut lanes = BTreeMap::new();
        for (sink, next, above, inherited) in found.lanes {
            let checkpoint = Seq::try_new(next).and_then(|next| Checkpoint::parse(next, &above));
            let checkpoint = checkpoint
                .ok_or_else(|| self.damaged(format!("the checkpoint of `{sink}` cannot be read")))?;
            lanes.insert(sink, (checkpoint, Inherited::parse(&inherited, "")));
        }
        let mut journal = Vec::new();
        for (first, ids) in found.batches {
            let ids: Vec<u64> = serde_json::from_str(&ids).unwrap_or_default();
            let known = (first..).zip(ids);
            journal.extend(known.filter_map(|(seq, id)| Some((Seq::try_new(seq)?, EventId::try_new(id)?))));
        }
        let offset = |number| Offset::try_new(number).unwrap_or(Offset::START);
        Ok(Undelivered { lanes, journal, floor: offset(found.floor), confirmed: offset(found.confirmed) })
    }

    /// The sources that have a record of `sink`.
    pub async fn sources_of(&self, sink: &str) -> Result<Vec<String>, StoreError> {
        let sink = sink.to_owned();
        self.read(move |connection| {
            let mut select = connection.prepare("SELECT source FROM lane WHERE sink = ?1 ORDER BY source")?;
            let sources = select.query_map([sink], |row| row.get(0))?;
            sources.collect()
        })
        .await
    }
}

/// The rows of a source.
struct Rows {
    floor: u64,
    confirmed: u64,
    /// The sink, the next sequence number, the ranges above it, and the ids that it inherited.
    lanes: Vec<(String, u64, String, String)>,
    /// The first sequence number and the ids of each row of the journal.
    batches: Vec<(u64, String)>,
}

fn select(connection: &mut Connection, source: &str) -> rusqlite::Result<Rows> {
    // Read everything at one moment.
    let transaction = connection.transaction()?;
    let numbers = transaction
        .query_row("SELECT floor, confirmed FROM source WHERE name = ?1", [source], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let (floor, confirmed) = numbers.unwrap_or((1, 1));
    let lanes = transaction
        .prepare(
            "SELECT sink, next, above, iif(generation = 1, inherited, '') FROM lane JOIN source ON name = source
             WHERE source = ?1",
        )?
        .query_map([source], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let batches = transaction
        .prepare(
            "SELECT first, ids FROM batch WHERE source = ?1 AND first + count >
                 (SELECT min(open_seq, ifnull((SELECT min(next) FROM lane WHERE source = ?1), 1))
                  FROM source WHERE name = ?1)
             ORDER BY first",
        )?
        .query_map([source], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Rows { floor, confirmed, lanes, batches })
}
