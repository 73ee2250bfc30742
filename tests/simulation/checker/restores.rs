//! The guarantees for a restored portal: all its events are delivered, all events that were read before are delivered
//! too, and no two events have the same `id`.
//!
//! The engine can be certain of a restore when an answer shows an event whose id is not above the highest recorded id,
//! as the dates then prove. It must start the next generation before its next poll. Before such an answer it cannot
//! know.

use b24relay::event::Event;
use b24relay::store::View;

use crate::checker::ledger::JournalEntry;
use crate::scripted::events::{era_of, id_of};
use crate::world::{World, now_ms};

impl World {
    /// Records that the portal was restored and no longer has `lost`.
    pub(crate) fn become_restored(&mut self, lost: &[u64], life: Option<u64>) {
        self.tell(format_args!("portal: restored, without {lost:?}"));
        self.count.restores += 1;
        self.become_gone(lost, life);
    }

    /// Finds the event of each new entry of the journal. It came with the last answer, because the journal is checked
    /// before every poll.
    pub(crate) fn learn_entries(&mut self, view: &View) {
        let next = self.ledgers.entries.last_key_value().map_or(0, |(seq, _)| seq + 1);
        let mut last = None;
        for (seq, (generation, id)) in view.journal.range(next..) {
            let shown = self.queue.rows_with(*id).filter(|row| row.shown.is_some());
            let key = shown.last().expect("an event that was shown").plan.key;
            assert!(last < Some(key), "G3: the journal has {key} behind {last:?}");
            last = Some(key);
            let entry = JournalEntry { generation: *generation, key };
            self.ledgers.entries.insert(*seq, entry);
            let earlier = self.ledgers.seqs.insert(key, *seq);
            assert!(earlier.is_none(), "G2: event {key} is in the journal twice, at {earlier:?} and {seq}");
        }
    }

    /// Whether the event `key` is in the journal, according to `view`.
    pub(crate) fn is_kept(&self, key: u64, view: &View) -> bool {
        self.ledgers.seqs.get(&key).is_some_and(|seq| view.journal.contains_key(seq))
    }

    /// The event that `sink` gets. No other event has the same `id`.
    pub(crate) fn recognise(&mut self, sink: &str, event: &Event) -> u64 {
        let id = event.id.get();
        let mut rows = self.queue.rows_with(id);
        let row = rows.find(|row| row.data == event.data.get());
        let row = row.unwrap_or_else(|| panic!("I5: `{sink}` got {id} with the data of no event"));
        let (kind, date) = (event.kind.as_str(), event.date.get());
        assert_eq!((kind, date), (row.plan.kind, row.date.as_str()), "I5: event {id}");
        let key = row.plan.key;
        let name = event.queue.stable_id(event.id);
        let known = *self.ledgers.names.entry(name.clone()).or_insert(key);
        assert_eq!(known, key, "G2: `{name}` stands for two events");
        self.ledgers.keys.insert((event.queue.identity.to_string(), id), key);
        key
    }

    /// Records whether an answer with `keys` proves a restore.
    pub(crate) fn note_proof(&mut self, keys: &[u64]) {
        if self.queue.era == 0 {
            return;
        }
        let generation = self.view().generation;
        let remembered = self.ledgers.entries.values().filter(|entry| entry.generation == generation);
        let remembered: Vec<u64> = remembered.map(|entry| entry.key).collect();
        let contradicts = |key: u64, known: u64| era_of(known) < era_of(key) && id_of(known) >= id_of(key);
        if keys.iter().any(|key| remembered.iter().any(|known| contradicts(*key, *known))) {
            self.tell("portal: the answer proves that it was restored");
            self.count.proofs += 1;
            self.ledgers.generation_due = generation + 1;
        }
    }

    /// Checks that a certain restore is noticed, and that no other one is.
    pub(crate) fn judge_generation(&self, view: &View) {
        let due = self.ledgers.generation_due;
        assert!(
            view.generation >= due,
            "G1: generation {due} has not begun, it is still {}",
            view.generation
        );
        let greatest = self.queue.era + 1;
        assert!(view.generation <= greatest, "G8: {} generations, there can be {greatest}", view.generation);
    }

    /// Checks that the events confirmed by a poll from `offset` on are not younger than `confirm_lag` (I2).
    pub(crate) fn judge_ages(&self, offset: u64) {
        if self.plan.events.iter().any(|event| event.date_error_ms < 0) {
            return;
        }
        // Events that an operator has given up may be confirmed at any age.
        let waiting = self.queue.waiting().range(self.ledgers.abandoned_below..);
        for key in waiting.filter(|key| id_of(**key) < offset) {
            let age_ms = now_ms() - self.queue.row(*key).expect("a row").plan.born_ms;
            let is_old = u128::from(age_ms) >= self.plan.lag.as_millis();
            assert!(is_old, "I2: a poll from {offset} on confirms {key}, which is {age_ms} ms old");
        }
    }
}
