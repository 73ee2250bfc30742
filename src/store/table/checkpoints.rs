//! The records of lanes that survive a restart: checkpoints, counts, states.
//!
//! Keeps I4: only an operator's command moves a checkpoint back ([`Store::rewind`], [`Store::set_offset`]). A commit
//! that would do so is refused, as damage.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, Transaction, params};

use crate::checkpoint::Checkpoint;
use crate::event::{Event, EventId, Offset, Queue, Seq};
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::table::activity::LaneActivity;
use crate::store::table::dead_letters::{self, NewDeadLetter};
use crate::store::table::journal::Reading;
use crate::store::table::skips;
use crate::store::table::sources::GAP_KIND;
use crate::wall_clock::now_ms;

/// The progress of one lane that a commit makes durable.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The settled events.
    pub checkpoint: Checkpoint,
    /// How the events were settled since the previous commit.
    pub tally: Tally,
    /// The events that the sink will never take; the tally counts them as well.
    pub new_letters: Vec<NewDeadLetter>,
    /// The mark that the sink wants back at the next start, if any.
    pub mark: Option<String>,
    /// The lane ignores events before this time, in Unix milliseconds by the portal's clock.
    pub start_ms: Option<i64>,
}

/// How many events were settled in which way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// They were delivered.
    pub delivered: u64,
    /// The sink's filter excluded them.
    pub filtered: u64,
    /// They were older than the sink's `max_event_age`.
    pub expired: u64,
    /// They are dead letters.
    pub buried: u64,
}

/// The records of a source's queue.
#[derive(Clone, Debug)]
pub struct StoredSource {
    /// Each sink that has a checkpoint.
    pub lanes: HashMap<String, LaneRecord>,
    /// How far the source has read.
    pub reading: Reading,
    /// The sequence number of the oldest event in the journal, or the next one.
    pub first: Seq,
    /// The gaps that must still be reported to the sinks.
    pub untold: Vec<u64>,
    /// The size of the source's journal in bytes.
    pub journal_bytes: u64,
    /// All events before this time are in the journal, in Unix milliseconds by the portal's clock.
    pub covered_ms: Option<i64>,
    /// By how many milliseconds the portal's clock was ahead of this machine's, if the portal has reported its time.
    pub skew_ms: Option<i64>,
    /// The portal's dates have contradicted its clock.
    pub has_odd_dates: bool,
}

/// The record of a lane.
#[derive(Clone, Debug)]
pub struct LaneRecord {
    /// The settled events.
    pub checkpoint: Checkpoint,
    /// See [`Progress::start_ms`].
    pub start_ms: Option<i64>,
    /// See [`Progress::mark`].
    pub mark: Option<String>,
    /// The events of the portal's queue that it had settled before the journal held them (layouts 1 to 3).
    pub inherited: Option<Inherited>,
    /// Why it is paused, if it is. Only the operator can resume it.
    pub pause: Option<String>,
}

/// The events that a lane had settled, by the portal's ids in the queue's first generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inherited {
    /// The identity of the queue.
    identity: String,
    offset: u64,
    above: BTreeSet<u64>,
    /// How many gaps had been reported to the sink.
    gaps: u64,
}

impl Inherited {
    /// Parses the text: the offset below which all was settled, the ids above it, and the number of gaps.
    pub fn parse(text: &str, identity: &str) -> Option<Self> {
        let (offset, above, gaps) = serde_json::from_str(text).ok()?;
        Some(Self { identity: identity.to_owned(), offset, above, gaps })
    }

    /// Whether the event was settled.
    pub fn has_settled(&self, event: &Event) -> bool {
        match event.kind.as_str() {
            GAP_KIND => event.id.get() <= self.gaps,
            _ => *event.queue.identity == *self.identity && self.covers(event.id),
        }
    }

    /// Whether the event of the queue's first generation was settled.
    pub fn covers(&self, id: EventId) -> bool {
        id.get() < self.offset || self.above.contains(&id.get())
    }

    /// Leaves out the part that the portal has forgotten.
    fn without_confirmed(mut self, confirmed: Offset) -> Self {
        if confirmed.get() >= self.offset && self.above.iter().all(|id| *id < confirmed.get()) {
            self.offset = 1;
            self.above.clear();
        }
        self
    }
}

/// A lane's state, for `status`.
#[derive(Clone, Debug)]
pub struct LaneNote {
    /// The state.
    pub state: LaneActivity,
    /// When it tries again, in Unix milliseconds.
    pub next_ms: Option<i64>,
    /// The problem; empty when there is none.
    pub trouble: String,
}

impl Store {
    /// Records which queue a source reads, or checks that it is still the same one, and returns the records of that
    /// queue.
    ///
    /// # Errors
    /// [`StoreError::OtherQueue`] when the source has read another queue before; [`StoreError::Damaged`] when a
    /// checkpoint cannot be parsed.
    pub async fn bind(&self, queue: &Queue) -> Result<StoredSource, StoreError> {
        let (source, identity) = (queue.source.to_string(), queue.identity.to_string());
        let on_record = self.run(move |connection| on_record(connection, &source, &identity)).await?;
        if on_record.identity != *queue.identity {
            let (source_name, now) = (queue.source.to_string(), queue.identity.to_string());
            return Err(StoreError::OtherQueue { source_name, known: on_record.identity, now });
        }
        let damaged = |what: &str| self.damaged(format!("{what} cannot be read"));
        let offset = |number| Offset::try_new(number).ok_or_else(|| damaged("an offset"));
        let seq = |number| Seq::try_new(number).ok_or_else(|| damaged("a sequence number"));
        let [generation, next, open, confirmed, grown, floor] = on_record.numbers;
        let reading = Reading {
            generation: u32::try_from(generation).map_err(|_| damaged("the generation"))?,
            next: seq(next)?,
            open: seq(open)?,
            confirmed: offset(confirmed)?,
            grown,
            floor: offset(floor)?,
            marks: on_record.marks,
        };
        let mut lanes = HashMap::new();
        for LaneRow { sink, next, above, start_ms, mark, inherited, pause } in on_record.lanes {
            let checkpoint = Seq::try_new(next).and_then(|next| Checkpoint::parse(next, &above));
            let checkpoint = checkpoint.ok_or_else(|| damaged(&format!("the checkpoint of `{sink}`")))?;
            let mark = Some(mark).filter(|mark| !mark.is_empty());
            let inherited = Inherited::parse(&inherited, &queue.identity)
                .map(|inherited| inherited.without_confirmed(reading.confirmed));
            lanes.insert(sink, LaneRecord { checkpoint, start_ms, mark, inherited, pause });
        }
        Ok(StoredSource {
            lanes,
            first: seq(on_record.first)?,
            reading,
            untold: on_record.untold,
            journal_bytes: on_record.journal_bytes,
            covered_ms: on_record.covered_ms,
            skew_ms: on_record.skew_ms,
            has_odd_dates: on_record.has_odd_dates,
        })
    }

    /// Makes durable the events of `source` that `sink` has settled, including the dead letters among them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the disk refuses it: nothing has changed, retry; [`StoreError::Damaged`] when
    /// the checkpoint on record is not one that we have written.
    pub async fn commit(&self, source: &str, sink: &str, progress: Progress) -> Result<(), StoreError> {
        let (source, sink) = (source.to_owned(), sink.to_owned());
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            commit(&transaction, &source, &sink, &progress)?;
            transaction.commit()
        })
        .await
    }

    /// Lets a source read another queue than before, an operator's decision. The records of the old queue are deleted,
    /// except for its dead letters.
    pub async fn forget_queue(&self, source: &str) -> Result<(), StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            for table in ["lane", "batch", "gap"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE source = ?1"), [&source])?;
            }
            transaction.execute("DELETE FROM source WHERE name = ?1", [&source])?;
            skips::forget(&transaction, &source)?;
            transaction.commit()
        })
        .await
    }

    /// Gives up the events that `sink` has not settled, in all sources: an operator's decision. Returns how many
    /// sources had a record of it.
    pub async fn forget_sink(&self, sink: &str) -> Result<usize, StoreError> {
        let sink = sink.to_owned();
        self.run(move |connection| connection.execute("DELETE FROM lane WHERE sink = ?1", [sink])).await
    }

    /// Deletes the record of `sink` in `source`.
    pub async fn forget_lane(&self, source: &str, sink: &str) -> Result<(), StoreError> {
        let (source, sink) = (source.to_owned(), sink.to_owned());
        self.run(move |connection| {
            connection.execute("DELETE FROM lane WHERE source = ?1 AND sink = ?2", [source, sink])
        })
        .await
        .map(|_| ())
    }

    /// Moves a source and all its sinks to `offset` of the portal's queue, forward or back: an operator's decision
    /// (I4). The events that the portal still has from there on are delivered, again if necessary. Events below are
    /// given up, in the journal as well. The source must have been bound to its queue; `sinks` get a checkpoint if they have none
    /// yet.
    pub async fn set_offset(
        &self,
        source: &str,
        sinks: Vec<String>,
        offset: Offset,
    ) -> Result<(), StoreError> {
        let source = source.to_owned();
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            skips::end(&transaction, &source)?;
            for sink in sinks {
                transaction.execute(
                    "INSERT INTO lane (source, sink, next, committed_ms) VALUES (?1, ?2, 1, ?3)
                     ON CONFLICT DO NOTHING",
                    params![source, sink, now_ms()],
                )?;
            }
            let lanes: Vec<(String, u64)> = transaction
                .prepare(
                    "SELECT sink, min(next, open_seq) FROM lane JOIN source ON name = source WHERE source = ?1",
                )?
                .query_map([&source], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (sink, from) in lanes {
                let checkpoint = wanted_from(&transaction, &source, from, offset)?;
                transaction.execute(
                    "UPDATE lane SET next = ?3, above = ?4, inherited = '', committed_ms = ?5
                     WHERE source = ?1 AND sink = ?2",
                    params![source, sink, checkpoint.next().get(), checkpoint.above_text(), now_ms()],
                )?;
            }
            // Earlier confirmations mean nothing any more: the portal may show all of those events again.
            transaction.execute(
                "UPDATE source SET confirmed = 1, grown = 0, floor = ?2, trouble = '' WHERE name = ?1",
                params![source, offset.get()],
            )?;
            transaction.commit()
        })
        .await
    }

    /// Notes the state of a lane for `status`, and since when it has that state. A paused lane stays paused.
    pub async fn note_lane(&self, source: &str, sink: &str, note: LaneNote) -> Result<(), StoreError> {
        let (source, sink) = (source.to_owned(), sink.to_owned());
        self.run(move |connection| {
            let insert =
                "INSERT INTO lane (source, sink, next, committed_ms, state, since_ms, next_ms, trouble)
                 VALUES (?1, ?2, 1, ?3, ?4, ?3, ?5, ?6)
                 ON CONFLICT DO UPDATE SET
                     since_ms = iif(state = excluded.state, since_ms, excluded.since_ms),
                     state = excluded.state, next_ms = excluded.next_ms, trouble = excluded.trouble
                 WHERE state <> 'paused'";
            let params = params![source, sink, now_ms(), note.state, note.next_ms, note.trouble];
            connection.prepare_cached(insert)?.execute(params)
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
    let Progress { checkpoint, tally, new_letters, mark, start_ms } = progress;
    let changed = transaction
        .prepare_cached(
            "INSERT INTO lane (source, sink, next, above, committed_ms, delivered, filtered, expired, buried, start_ms,
                 mark)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ifnull(?11, ''))
             ON CONFLICT DO UPDATE SET
                 next = excluded.next, above = excluded.above, committed_ms = excluded.committed_ms,
                 delivered = delivered + excluded.delivered, filtered = filtered + excluded.filtered,
                 expired = expired + excluded.expired, buried = buried + excluded.buried,
                 start_ms = excluded.start_ms, mark = ifnull(?11, mark)
             WHERE excluded.next >= lane.next",
        )?
        .execute(params![
            source,
            sink,
            checkpoint.next().get(),
            checkpoint.above_text(),
            now_ms(),
            tally.delivered,
            tally.filtered,
            tally.expired,
            tally.buried,
            start_ms,
            mark
        ])?;
    if changed == 0 {
        // Another process has moved it: the events settled here would be in no record.
        return Err(rusqlite::Error::StatementChangedRows(0));
    }
    for new_letter in new_letters {
        dead_letters::bury(transaction, sink, new_letter)?;
    }
    Ok(())
}

/// The checkpoint of a lane that wants those events of the journal from `from` on whose id at the portal is `offset` or
/// higher. No lane waits for events that the journal no longer has.
fn wanted_from(
    transaction: &Transaction<'_>,
    source: &str,
    from: u64,
    offset: Offset,
) -> rusqlite::Result<Checkpoint> {
    let oldest: u64 = transaction.query_row(
        "SELECT ifnull((SELECT min(first) FROM batch WHERE source = ?1), next_seq) FROM source WHERE name = ?1",
        [source],
        |row| row.get(0),
    )?;
    let from = from.max(oldest);
    let mut checkpoint = Checkpoint::at(Seq::try_new(from).unwrap_or(Seq::FIRST));
    let mut select = transaction
        .prepare("SELECT first, ids FROM batch WHERE source = ?1 AND first + count > ?2 ORDER BY first")?;
    let mut rows = select.query(params![source, from])?;
    while let Some(row) = rows.next()? {
        let (first, ids): (u64, String) = (row.get(0)?, row.get(1)?);
        let ids: Vec<u64> = serde_json::from_str(&ids).unwrap_or_default();
        let given_up = (first..).zip(ids).filter(|(_, id)| *id < offset.get());
        given_up.filter_map(|(seq, _)| Seq::try_new(seq)).for_each(|seq| checkpoint.settle(seq));
    }
    Ok(checkpoint)
}

/// The rows of a source.
struct OnRecord {
    identity: String,
    /// The generation, the next sequence number, the first open one, the confirmed offset, the grown id, and the floor.
    numbers: [u64; 6],
    marks: String,
    first: u64,
    journal_bytes: u64,
    covered_ms: Option<i64>,
    skew_ms: Option<i64>,
    has_odd_dates: bool,
    untold: Vec<u64>,
    lanes: Vec<LaneRow>,
}

struct LaneRow {
    sink: String,
    next: u64,
    above: String,
    start_ms: Option<i64>,
    mark: String,
    inherited: String,
    pause: Option<String>,
}

fn on_record(connection: &mut Connection, source: &str, identity: &str) -> rusqlite::Result<OnRecord> {
    let transaction = connection.transaction()?;
    // A source without a login has no identity yet.
    let bind = "INSERT INTO source (name, identity, adopted_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET identity = excluded.identity WHERE identity = ''";
    transaction.prepare_cached(bind)?.execute(params![source, identity, now_ms()])?;
    // The problems of an earlier run are history, except for a pause. If there are none, nothing is written, so a start
    // on a full disk works.
    let recover = "UPDATE source SET trouble = '' WHERE name = ?1 AND trouble <> ''";
    transaction.prepare_cached(recover)?.execute([source])?;
    let recover = "UPDATE lane SET trouble = '', state = 'flowing', next_ms = NULL
         WHERE source = ?1 AND (trouble <> '' OR state <> 'flowing') AND state <> 'paused'";
    transaction.prepare_cached(recover)?.execute([source])?;
    let lanes = transaction
        .prepare_cached(
            "SELECT sink, next, above, start_ms, mark, inherited, iif(state = 'paused', trouble, NULL)
             FROM lane WHERE source = ?1",
        )?
        .query_map([source], |row| {
            Ok(LaneRow {
                sink: row.get(0)?,
                next: row.get(1)?,
                above: row.get(2)?,
                start_ms: row.get(3)?,
                mark: row.get(4)?,
                inherited: row.get(5)?,
                pause: row.get(6)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let untold = transaction
        .prepare_cached("SELECT number FROM gap WHERE source = ?1 AND NOT is_told ORDER BY number")?
        .query_map([source], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let select = "SELECT identity, generation, next_seq, open_seq, confirmed, grown, floor, marks, journal_bytes, covered_ms,
             iif(covered_ms IS NULL, NULL, skew_ms), has_odd_dates,
             ifnull((SELECT min(first) FROM batch WHERE source = name), next_seq)
         FROM source WHERE name = ?1";
    let on_record = transaction.prepare_cached(select)?.query_row([source], |row| {
        Ok(OnRecord {
            identity: row.get(0)?,
            numbers: [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?],
            marks: row.get(7)?,
            journal_bytes: row.get(8)?,
            covered_ms: row.get(9)?,
            skew_ms: row.get(10)?,
            has_odd_dates: row.get(11)?,
            first: row.get(12)?,
            untold,
            lanes,
        })
    })?;
    transaction.commit()?;
    Ok(on_record)
}
