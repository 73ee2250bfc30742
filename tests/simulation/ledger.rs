//! What each sink is owed, has taken, and may get twice.

use std::collections::{BTreeMap, BTreeSet};

use b24relay::checkpoint::Checkpoint;
use b24relay::event::Seq;
use b24relay::store::View;

use crate::plan::SinkPlan;

/// The sinks' ledgers, and what all of them share.
#[derive(Default)]
pub struct Ledgers {
    pub sinks: BTreeMap<&'static str, Ledger>,
    /// What was on the disk when it was last looked at.
    pub last: Option<View>,
    /// By key: where the journal has it, or had it.
    pub seqs: BTreeMap<u64, u64>,
    /// What the journal has, or had, by sequence number.
    pub entries: BTreeMap<u64, JournalEntry>,
    /// The key of each event by the `id` under which sinks know it.
    pub names: BTreeMap<String, u64>,
    /// The key of each event by its queue's identity, and its id there.
    pub keys: BTreeMap<(String, u64), u64>,
    /// The generation that the engine must have begun by its next poll.
    pub generation_due: u64,
    /// Of what was stolen, what the running life has read: it may have it in memory.
    pub in_memory: BTreeSet<u64>,
    /// Of that, what the running life must have missed.
    pub noticed: BTreeSet<u64>,
    /// The highest id that the running life knew when it first read the queue to its end.
    pub goal: Option<u64>,
    /// How many thefts the state file must know of.
    pub thefts_due: u64,
    /// The operator has set the offset once: what is below may be gone, what is above may come again.
    pub is_offset_set: bool,
    /// Below it the operator wanted nothing any more.
    pub abandoned_below: u64,
}

/// An event in the journal.
#[derive(Clone, Copy)]
pub struct JournalEntry {
    pub generation: u64,
    pub key: u64,
}

/// One sink's.
pub struct Ledger {
    pub plan: SinkPlan,
    /// The turn that runs, or ran last, has it.
    pub is_configured: bool,
    /// Since when it has been promised the order that its plan says.
    pub ordered_since_ms: u64,
    /// Since when it takes events, in Unix milliseconds by the portal's clock, if that matters.
    pub start_ms: Option<i64>,
    /// What it is owed.
    pub open: BTreeSet<u64>,
    /// What it has, and since when.
    pub accepted: BTreeMap<u64, u64>,
    /// What it may get once more.
    pub credits: BTreeSet<u64>,
    /// How often it has rejected what.
    pub rejections: BTreeMap<u64, u64>,
    pub buried: BTreeSet<u64>,
    /// Filtered, expired, or of before its start.
    pub passed: BTreeSet<u64>,
    /// What it was owed until somebody took it away; it may be counted or not.
    pub excused: BTreeSet<u64>,
    /// What it took, and was stolen before that could be committed.
    pub uncounted: BTreeSet<u64>,
    /// Whether the sum of its tally says anything: not after an operator's intervention.
    pub is_tallied: bool,
}

impl Ledger {
    /// That of a sink whose first life begins, when it is owed `open`.
    pub fn new(plan: &SinkPlan, open: BTreeSet<u64>, is_tallied: bool) -> Self {
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

    /// What it has and `checkpoint` does not know of, with when it got that.
    pub fn uncommitted(
        &self,
        checkpoint: Option<&Checkpoint>,
        seqs: &BTreeMap<u64, u64>,
    ) -> BTreeMap<u64, u64> {
        let accepted = self.accepted.iter().filter(|(id, _)| !covers(checkpoint, seqs, **id));
        accepted.map(|(id, at_ms)| (*id, *at_ms)).collect()
    }

    /// The same without what it may get twice.
    pub fn fresh(&self, checkpoint: Option<&Checkpoint>, seqs: &BTreeMap<u64, u64>) -> Vec<(u64, u64)> {
        let uncommitted = self.uncommitted(checkpoint, seqs).into_iter();
        uncommitted.filter(|(id, _)| !self.credits.contains(id)).collect()
    }

    /// It is owed `id` no longer.
    pub fn excuse(&mut self, id: u64) {
        if self.open.remove(&id) {
            self.excused.insert(id);
        }
    }

    /// How many events it has settled, by our books.
    pub fn settled_count(&self) -> u64 {
        let all = self.accepted.keys().chain(&self.buried).chain(&self.passed);
        all.collect::<BTreeSet<_>>().len() as u64
    }
}

/// Whether `checkpoint` says that `id` is settled.
pub fn covers(checkpoint: Option<&Checkpoint>, seqs: &BTreeMap<u64, u64>, id: u64) -> bool {
    let seq = seqs.get(&id).and_then(|seq| Seq::try_new(*seq));
    checkpoint.zip(seq).is_some_and(|(checkpoint, seq)| checkpoint.covers(seq))
}
