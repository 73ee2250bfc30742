//! Which events each sink is owed, has accepted, and may get twice.

use std::collections::{BTreeMap, BTreeSet};

use b24relay::checkpoint::Checkpoint;
use b24relay::event::Seq;
use b24relay::store::View;

use crate::plan::SinkPlan;

/// The ledgers of the sinks, and their shared data.
#[derive(Default)]
pub(crate) struct Ledgers {
    pub sinks: BTreeMap<&'static str, Ledger>,
    /// The last seen state of the disk.
    pub last: Option<View>,
    /// By key: the present or past position in the journal.
    pub seqs: BTreeMap<u64, u64>,
    /// By sequence number: the present or past entry in the journal.
    pub entries: BTreeMap<u64, JournalEntry>,
    /// By the `id` that sinks see: the key of the event.
    pub names: BTreeMap<String, u64>,
    /// By the queue's identity and the event's id: the key of the event.
    pub keys: BTreeMap<(String, u64), u64>,
    /// The generation that the engine must have started by its next poll.
    pub generation_due: u64,
    /// Stolen events that the current run has read, and may still have in memory.
    pub in_memory: BTreeSet<u64>,
    /// Stolen events that the current run must have missed.
    pub noticed: BTreeSet<u64>,
    /// The highest id that the current run knew when it first reached the end of the queue.
    pub goal: Option<u64>,
    /// How many thefts the state file must contain.
    pub thefts_due: u64,
    /// Whether the operator has set the offset. Then events below it may be lost, and events above it may come again.
    pub is_offset_set: bool,
    /// The offset below which the operator has given up all events.
    pub abandoned_below: u64,
}

/// An event in the journal.
#[derive(Clone, Copy)]
pub(crate) struct JournalEntry {
    pub generation: u64,
    pub key: u64,
}

/// The ledger of one sink.
pub(crate) struct Ledger {
    pub plan: SinkPlan,
    /// Whether the current or last turn has this sink.
    pub is_configured: bool,
    /// The time from which the order of its plan is guaranteed.
    pub ordered_since_ms: u64,
    /// The time from which it gets events, in Unix milliseconds by the portal's clock, if that matters.
    pub start_ms: Option<i64>,
    /// Events that it is owed.
    pub open: BTreeSet<u64>,
    /// Events that it has, and since when.
    pub accepted: BTreeMap<u64, u64>,
    /// Events that it may get once more.
    pub credits: BTreeSet<u64>,
    /// How often it has rejected each event.
    pub rejections: BTreeMap<u64, u64>,
    pub buried: BTreeSet<u64>,
    /// Events that were filtered, that expired, or that came before its start.
    pub passed: BTreeSet<u64>,
    /// Events that it was owed until they were stolen; they may be counted or not.
    pub excused: BTreeSet<u64>,
    /// Events that it accepted, and that were stolen before the commit.
    pub uncounted: BTreeSet<u64>,
    /// Whether the sum of its counters is meaningful, which it is not after an intervention of the operator.
    pub is_tallied: bool,
}

impl Ledger {
    /// The ledger of a sink that is owed `open` at the beginning of its first run.
    pub(crate) fn new(plan: &SinkPlan, open: BTreeSet<u64>, is_tallied: bool) -> Self {
        Self {
            plan: plan.clone(),
            is_configured: true,
            ordered_since_ms: 0,
            start_ms: None,
            open,
            accepted: BTreeMap::new(),
            credits: BTreeSet::new(),
            rejections: BTreeMap::new(),
            buried: BTreeSet::new(),
            passed: BTreeSet::new(),
            excused: BTreeSet::new(),
            uncounted: BTreeSet::new(),
            is_tallied,
        }
    }

    /// The events that it has and `checkpoint` does not contain, with the time of their delivery.
    pub(crate) fn uncommitted(
        &self,
        checkpoint: Option<&Checkpoint>,
        seqs: &BTreeMap<u64, u64>,
    ) -> BTreeMap<u64, u64> {
        let accepted = self.accepted.iter().filter(|(id, _)| !covers(checkpoint, seqs, **id));
        accepted.map(|(id, at_ms)| (*id, *at_ms)).collect()
    }

    /// The same without the events that it may get twice.
    pub(crate) fn fresh(
        &self,
        checkpoint: Option<&Checkpoint>,
        seqs: &BTreeMap<u64, u64>,
    ) -> Vec<(u64, u64)> {
        let uncommitted = self.uncommitted(checkpoint, seqs).into_iter();
        uncommitted.filter(|(id, _)| !self.credits.contains(id)).collect()
    }

    /// Marks `id` as no longer owed.
    pub(crate) fn excuse(&mut self, id: u64) {
        if self.open.remove(&id) {
            self.excused.insert(id);
        }
    }

    /// How many events it has settled, according to this ledger.
    pub(crate) fn settled_count(&self) -> u64 {
        let all = self.accepted.keys().chain(&self.buried).chain(&self.passed);
        all.collect::<BTreeSet<_>>().len() as u64
    }
}

/// Whether `id` is settled in `checkpoint`.
pub(crate) fn covers(checkpoint: Option<&Checkpoint>, seqs: &BTreeMap<u64, u64>, id: u64) -> bool {
    let seq = seqs.get(&id).and_then(|seq| Seq::try_new(*seq));
    checkpoint.zip(seq).is_some_and(|(checkpoint, seq)| checkpoint.covers(seq))
}
