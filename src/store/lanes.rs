//! What lanes know of themselves after a restart: checkpoints, counts, states.
//!
//! Keeps I4: a checkpoint never moves back but by [`Store::set_offset`]; the update refuses it, as damage.

use std::collections::HashMap;
use std::fmt;

use rusqlite::{Connection, Transaction, params};

use super::dead_letters::{self, Burial};
use super::{Store, StoreError, skips};
use crate::checkpoint::Checkpoint;
use crate::event::{Offset, Queue};
use crate::wall_clock::now_ms;

/// What a commit makes durable of one lane.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What is settled.
    pub checkpoint: Checkpoint,
    /// What became of the events that were settled since the commit before.
    pub tally: Tally,
    /// Those that the sink will never take; they are in the tally as well.
    pub burials: Vec<Burial>,
    /// What the portal has been told to forget up to now.
    pub confirmed: Offset,
    /// Events of before are none of this lane's business, in Unix milliseconds by the portal's clock.
    pub start_ms: Option<i64>,
    /// How many of the source's gaps the sink has been told of.
    pub gaps: u64,
}

/// Numbers of settled events, by what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// The sink has them.
    pub delivered: u64,
    /// The sink's filter left them out.
    pub filtered: u64,
    /// They were older than the sink's `max_event_age`.
    pub expired: u64,
    /// They are dead letters.
    pub buried: u64,
}

/// What the state file knows of a source's queue.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// Each sink that has a checkpoint.
    pub lanes: HashMap<String, LaneRecord>,
    /// The portal has forgotten all below it: nothing there can come again.
    pub confirmed: Offset,
    /// All below it has been in the journal.
    pub received: Offset,
    /// All events of before are settled or in the journal, in Unix milliseconds by the portal's clock.
    pub covered_ms: Option<i64>,
    /// By how much the portal's clock was ahead of this machine's, in milliseconds, if it has told the time.
    pub skew_ms: Option<i64>,
    /// The portal's dates were seen to contradict its clock.
    pub has_odd_dates: bool,
    /// How many gaps there have been.
    pub gaps: u64,
}

/// What the state file knows of a lane.
#[derive(Clone, Debug)]
pub struct LaneRecord {
    /// What is settled.
    pub checkpoint: Checkpoint,
    /// See [`Progress::start_ms`].
    pub start_ms: Option<i64>,
    /// See [`Progress::gaps`].
    pub gaps: u64,
    /// Why it is paused, if it is: only a person's word ends that.
    pub pause: Option<String>,
}

/// What an operator reads of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaneState {
    /// Nothing is in its way.
    Flowing,
    /// An attempt failed, and is repeated by itself.
    Retrying,
    /// It needs a person, and looks now and then whether one has come.
    Held,
    /// A stop was asked for, and it finishes what is under way.
    Draining,
}

impl fmt::Display for LaneState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flowing => "flowing",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Draining => "draining",
        })
    }
}

/// A lane's state, for `status`.
#[derive(Clone, Debug)]
pub struct LaneNote {
    /// What it does.
    pub state: LaneState,
    /// When it tries again, in Unix milliseconds.
    pub next_ms: Option<i64>,
    /// What is in its way; empty when nothing is.
    pub trouble: String,
}

impl Store {
    /// Records which queue a source reads, or checks that it is still the same one, and returns what is
    /// known of it.
    ///
    /// # Errors
    /// [`StoreError::OtherQueue`] when the source has read another queue so far; [`StoreError::Damaged`]
    /// when a checkpoint is none.
    pub async fn adopt(&self, queue: &Queue) -> Result<Adopted, StoreError> {
        let (source, identity) = (queue.source.to_string(), queue.identity.to_string());
        let on_record = self.run(move |connection| on_record(connection, &source, &identity)).await?;
        if on_record.identity != *queue.identity {
            let (source_name, now) = (queue.source.to_string(), queue.identity.to_string());
            return Err(StoreError::OtherQueue { source_name, known: on_record.identity, now });
        }
        let mut lanes = HashMap::new();
        for (sink, offset, above, start_ms, gaps, pause) in on_record.lanes {
            let checkpoint = Offset::try_new(offset).and_then(|offset| Checkpoint::parse(offset, &above));
            let checkpoint = checkpoint
                .ok_or_else(|| self.damaged(format!("the checkpoint of `{sink}` cannot be read")))?;
            lanes.insert(sink, LaneRecord { checkpoint, start_ms, gaps, pause });
        }
        let offset = |number| Offset::try_new(number).ok_or_else(|| self.damaged("an offset below 1".into()));
        Ok(Adopted {
            lanes,
            confirmed: offset(on_record.confirmed)?,
            received: offset(on_record.received)?,
            covered_ms: on_record.covered_ms,
            skew_ms: on_record.skew_ms,
            has_odd_dates: on_record.has_odd_dates,
            gaps: on_record.gaps,
        })
    }

    /// Makes durable what `sink` has settled of `source`, with the dead letters among it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the disk does not take it: try again, nothing has changed;
    /// [`StoreError::Damaged`] when the checkpoint on record is none that we have left there.
    pub async fn commit(&self, source: &str, sink: &str, progress: Progress) -> Result<(), StoreError> {
        let (source, sink) = (source.to_owned(), sink.to_owned());
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            commit(&transaction, &source, &sink, &progress)?;
            transaction.commit()
        })
        .await
    }

    /// Lets a source read another queue than so far, an operator's decision: what is known of the old
    /// one is forgotten, but for its dead letters.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn forget_queue(&self, source: &str) -> Result<(), StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            for table in ["checkpoint", "journal", "gap"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE source = ?1"), [&source])?;
            }
            transaction.execute("DELETE FROM source WHERE name = ?1", [&source])?;
            skips::forget(&transaction, &source)?;
            transaction.commit()
        })
        .await
    }

    /// Lets go of what `sink` has not settled, of all sources: an operator's decision. Returns of how many
    /// sources it knew anything.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn forget_sink(&self, sink: &str) -> Result<usize, StoreError> {
        let sink = sink.to_owned();
        self.run(move |connection| connection.execute("DELETE FROM checkpoint WHERE sink = ?1", [sink])).await
    }

    /// Forgets that `source` ever had `sink`.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn forget_lane(&self, source: &str, sink: &str) -> Result<(), StoreError> {
        let (source, sink) = (source.to_owned(), sink.to_owned());
        self.run(move |connection| {
            connection.execute("DELETE FROM checkpoint WHERE source = ?1 AND sink = ?2", [source, sink])
        })
        .await
        .map(|_| ())
    }

    /// Puts the checkpoints of a source's sinks at `offset`, forward or back: an operator's decision
    /// (I4). The source must have been adopted; `sinks` are those that get one if they have none yet.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn set_offset(
        &self,
        source: &str,
        sinks: Vec<String>,
        offset: Offset,
    ) -> Result<(), StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            // Settled events must not be taken for those that will come under the same ids.
            transaction.execute(
                "DELETE FROM journal WHERE source = ?1
                 AND id < (SELECT min(offset) FROM checkpoint WHERE source = ?1)",
                [&source],
            )?;
            transaction.execute(
                "UPDATE source SET journal_bytes = (SELECT ifnull(sum(bytes), 0) FROM journal WHERE source = name)
                 WHERE name = ?1",
                [&source],
            )?;
            skips::end(&transaction, &source)?;
            // The portal may have counted anew: what it has once forgotten says nothing any more.
            transaction.execute(
                "UPDATE source SET confirmed = 1, received = 1, trouble = '' WHERE name = ?1",
                [&source],
            )?;
            transaction.execute(
                "UPDATE checkpoint SET offset = ?2, above = '[]', committed_ms = ?3 WHERE source = ?1",
                params![source, offset.get(), now_ms()],
            )?;
            for sink in sinks {
                transaction.execute(
                    "INSERT INTO checkpoint (source, sink, offset, committed_ms) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO NOTHING",
                    params![source, sink, offset.get(), now_ms()],
                )?;
            }
            transaction.commit()
        })
        .await
    }

    /// Notes for `status` how a lane is doing; since when it does so is noted as well. A paused one stays so.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn note_lane(&self, source: &str, sink: &str, note: LaneNote) -> Result<(), StoreError> {
        let (source, sink) = (source.to_owned(), sink.to_owned());
        self.run(move |connection| {
            connection.execute(
                "INSERT INTO checkpoint (source, sink, offset, committed_ms, state, since_ms, next_ms, trouble)
                 VALUES (?1, ?2, 1, ?3, ?4, ?3, ?5, ?6)
                 ON CONFLICT DO UPDATE SET
                     since_ms = iif(state = excluded.state, since_ms, excluded.since_ms),
                     state = excluded.state, next_ms = excluded.next_ms, trouble = excluded.trouble
                 WHERE state <> 'paused'",
                params![source, sink, now_ms(), note.state.to_string(), note.next_ms, note.trouble],
            )
        })
        .await
        .map(|_| ())
    }
}

fn commit(
    transaction: &Transaction<'_>,
    source: &str,
    sink: &str,
    progress: &Progress,
) -> rusqlite::Result<()> {
    let Progress { checkpoint, tally, burials, confirmed, start_ms, gaps } = progress;
    let changed = transaction
        .prepare_cached(
            "INSERT INTO checkpoint (source, sink, offset, above, committed_ms, delivered, filtered, expired,
                 buried, start_ms, gaps)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT DO UPDATE SET
                 offset = excluded.offset, above = excluded.above, committed_ms = excluded.committed_ms,
                 delivered = delivered + excluded.delivered, filtered = filtered + excluded.filtered,
                 expired = expired + excluded.expired, buried = buried + excluded.buried,
                 start_ms = excluded.start_ms, gaps = excluded.gaps
             WHERE excluded.offset >= checkpoint.offset",
        )?
        .execute(params![
            source,
            sink,
            checkpoint.offset().get(),
            checkpoint.above_text(),
            now_ms(),
            tally.delivered,
            tally.filtered,
            tally.expired,
            tally.buried,
            start_ms,
            gaps
        ])?;
    if changed == 0 {
        // Somebody else has moved it: what is settled here would be on no record.
        return Err(rusqlite::Error::StatementChangedRows(0));
    }
    for burial in burials {
        dead_letters::bury(transaction, sink, burial)?;
    }
    transaction
        .prepare_cached("UPDATE source SET confirmed = ?2 WHERE name = ?1 AND confirmed < ?2")?
        .execute(params![source, confirmed.get()])?;
    Ok(())
}

/// A source's rows.
struct OnRecord {
    identity: String,
    confirmed: u64,
    received: u64,
    covered_ms: Option<i64>,
    skew_ms: Option<i64>,
    has_odd_dates: bool,
    gaps: u64,
    lanes: Vec<LaneRow>,
}

/// Sink, offset, the ids above it, start, gaps, and why it is paused.
type LaneRow = (String, u64, String, Option<i64>, u64, Option<String>);

fn on_record(connection: &mut Connection, source: &str, identity: &str) -> rusqlite::Result<OnRecord> {
    let transaction = connection.transaction()?;
    transaction.execute(
        // A source that nobody had logged in for has no identity yet.
        "INSERT INTO source (name, identity, adopted_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET identity = excluded.identity WHERE identity = ''",
        params![source, identity, now_ms()],
    )?;
    // What troubled an earlier run is history, but for a pause. Without any, nothing is written: a start on a full disk works.
    transaction.execute("UPDATE source SET trouble = '' WHERE name = ?1 AND trouble <> ''", [source])?;
    transaction.execute(
        "UPDATE checkpoint SET trouble = '', state = 'flowing', next_ms = NULL
         WHERE source = ?1 AND (trouble <> '' OR state <> 'flowing') AND state <> 'paused'",
        [source],
    )?;
    let lanes = transaction
        .prepare(
            "SELECT sink, offset, above, start_ms, gaps, iif(state = 'paused', trouble, NULL)
             FROM checkpoint WHERE source = ?1",
        )?
        .query_map([source], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let on_record = transaction.query_row(
        "SELECT identity, confirmed, received, covered_ms, has_odd_dates,
             (SELECT ifnull(max(number), 0) FROM gap WHERE source = name), iif(covered_ms IS NULL, NULL, skew_ms)
         FROM source WHERE name = ?1",
        [source],
        |row| {
            Ok(OnRecord {
                identity: row.get(0)?,
                confirmed: row.get(1)?,
                received: row.get(2)?,
                covered_ms: row.get(3)?,
                has_odd_dates: row.get(4)?,
                gaps: row.get(5)?,
                skew_ms: row.get(6)?,
                lanes,
            })
        },
    )?;
    transaction.commit()?;
    Ok(on_record)
}
