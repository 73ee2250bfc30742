//! Checks the guarantees after every step. A violation ends the world with a panic.

use std::time::Duration;

use b24relay::config::{Hold, OrderingConfig};
use b24relay::event::Seq;
use b24relay::store::View;

use crate::checker::ledger::{Ledger, covers};
use crate::plan::SinkPlan;
use crate::scripted::events::id_of;
use crate::scripted::queue::{Fate, Incident, Row, chat_of};
use crate::world::{World, now_ms};

/// The number of events after which a commit is due.
const COMMIT_EVENTS: usize = 64;

/// The longest time until a failed disk operation is retried.
const DISK_DELAY_MAX_MS: u64 = 60_000;

/// The time after which a commit is due.
const COMMIT_MS: u64 = 100;

impl World {
    /// Applies everything that has happened by now without the engine.
    pub(crate) fn catch_up(&mut self, life: Option<u64>) {
        while let Some(incident) = self.queue.incident(now_ms()) {
            match incident {
                Incident::Visible(id) => self.become_visible(id),
                Incident::Stolen(ids) => self.become_stolen(&ids, life),
                Incident::Restored(ids) => self.become_restored(&ids, life),
            }
        }
    }

    fn become_visible(&mut self, id: u64) {
        if id >= self.ledgers.abandoned_below {
            self.ledgers.sinks.values_mut().for_each(|ledger| {
                ledger.open.insert(id);
            });
        }
    }

    fn become_stolen(&mut self, ids: &[u64], life: Option<u64>) {
        self.tell(format_args!("portal: a foreign reader takes {ids:?}"));
        for id in ids {
            let row = self.queue.row(*id).expect("a row");
            if row.shown.is_some() {
                self.count.stolen_read += 1;
            } else {
                self.count.stolen_unread += 1;
            }
        }
        self.become_gone(ids, life);
    }

    /// The portal no longer has `ids`, although the engine has not confirmed them.
    pub(crate) fn become_gone(&mut self, ids: &[u64], life: Option<u64>) {
        let view = self.view();
        for id in ids {
            for ledger in self.ledgers.sinks.values_mut().filter(|ledger| ledger.credits.contains(id)) {
                ledger.uncounted.insert(*id);
            }
            let row = self.queue.row(*id).expect("a row");
            if life.is_some() && row.shown_in_life == life {
                self.ledgers.in_memory.insert(*id);
            } else {
                self.excuse(*id, &view);
            }
        }
    }

    /// An event that is gone is owed only to sinks that can still get it from the journal.
    fn excuse(&mut self, id: u64, view: &View) {
        if !self.is_kept(id, view) {
            self.ledgers.sinks.values_mut().for_each(|ledger| ledger.excuse(id));
        }
    }

    pub(crate) fn view(&mut self) -> View {
        let view = self.store.view(self.source).expect("a state");
        self.learn_entries(&view);
        view
    }

    /// Reads the state file. It never moves back (I4), and it only contains settled events as settled (I1, G5).
    pub(crate) fn examine(&mut self) -> View {
        let view = self.view();
        if let Some(last) = self.ledgers.last.take() {
            if last == view {
                self.ledgers.last = Some(last);
                return view;
            }
            never_back(&last, &view);
            self.count.generations += view.generation - last.generation;
        }
        let names: Vec<&'static str> = self.ledgers.sinks.keys().copied().collect();
        for name in names {
            self.examine_lane(name, &view);
        }
        self.ledgers.last = Some(view.clone());
        view
    }

    fn examine_lane(&mut self, name: &'static str, view: &View) {
        let forgives_dates = self.forgives_dates();
        let portal_now_ms = self.portal_now_ms();
        let (ledgers, seqs) = (&mut self.ledgers.sinks, &self.ledgers.seqs);
        let ledger = ledgers.get_mut(name).expect("a ledger");
        let Some(lane) = view.lanes.get(name) else {
            if !ledger.is_configured {
                let lost = ledger.open.iter().find(|id| !self.queue.waiting().contains(*id));
                assert!(lost.is_none(), "G1: `{name}` was forgotten, and was still to get {lost:?}");
                self.ledgers.sinks.remove(name);
            }
            return;
        };
        judge_start(name, ledger, lane.start_ms, portal_now_ms + self.plan.portal.drift_ms());
        for (sink, queue, id) in &view.dead_letters {
            if sink != name {
                continue;
            }
            let id = self.ledgers.keys.get(&(queue.clone(), *id)).expect("a letter that was attempted");
            if ledger.buried.insert(*id) {
                self.count.rejected += 1;
                // Counted by the first event of a batch, which may expire during the attempt.
                let rejections = ledger.rejections.get(id).copied().unwrap_or(0);
                assert!(
                    rejections >= 3 || !ledger.is_tallied || ledger.plan.max_age.is_some(),
                    "`{name}` buried {id} after {rejections} rejections"
                );
                ledger.open.remove(id);
            }
        }
        let covered: Vec<u64> =
            ledger.open.iter().copied().filter(|id| covers(Some(&lane.checkpoint), seqs, *id)).collect();
        for id in covered {
            let row = self.queue.row(id).expect("a row");
            let is_filtered = ledger.is_filtered(row);
            let is_unread = row.shown.is_none() || !is_filtered;
            if forgives_dates && row.plan.visible_ms > row.plan.born_ms && is_unread {
                ledger.excuse(id);
                continue;
            }
            assert!(
                row.shown.is_some() && (is_filtered || ledger.is_expirable(row)),
                "I1: the checkpoint of `{name}` covers {id}, which it never took: born {}, visible {}, shown {:?}",
                row.plan.born_ms,
                row.plan.visible_ms,
                row.shown
            );
            if is_filtered {
                self.count.filtered += 1;
            } else {
                self.count.expired += 1;
            }
            ledger.open.remove(&id);
            ledger.passed.insert(id);
        }
    }

    /// Checks a poll from `offset` on before it is carried out (I2, I3).
    pub(crate) fn judge_poll(&mut self, offset: u64, hold: Hold) {
        let view = self.examine();
        // With more events, a poll could not show new ones.
        let shown = |id: &&u64| self.queue.row(**id).is_some_and(|row| row.shown.is_some());
        let known: Vec<u64> = self.queue.waiting().iter().filter(shown).copied().collect();
        let surplus = known.len().saturating_sub(300);
        let surplus_below = known.get(surplus).copied().unwrap_or(u64::MAX);
        let waiting = self.queue.waiting();
        let stays = |id: &u64| waiting.contains(id) && id_of(*id) >= offset;
        self.judge_generation(&view);
        self.judge_ages(offset);
        for (name, ledger) in &self.ledgers.sinks {
            let lost = ledger.open.iter().find(|id| !stays(id) && !self.is_kept(**id, &view));
            assert!(
                lost.is_none(),
                "I3: a poll from {offset} on confirms {lost:?}, which `{name}` has not settled"
            );
            let is_held = |id: &&u64| {
                let row = self.queue.row(**id).expect("a row");
                row.fate == Fate::Waiting
                    && match hold {
                        Hold::Forever => true,
                        Hold::For(hold) => {
                            **id >= surplus_below && u128::from(now_ms() - row.shown_ms) < hold.as_millis()
                        }
                    }
            };
            let gone = ledger.open.range(self.ledgers.abandoned_below..).filter(|id| !stays(id));
            let gone = gone.filter(|_| ledger.is_configured).find(is_held);
            assert!(
                gone.is_none(),
                "a poll from {offset} on confirms {gone:?}, which `{name}` has not got yet"
            );
        }
        let due = self.ledgers.thefts_due;
        let can_tell = self.disk_failed_ms.is_none() && !self.plan.lag.is_zero();
        assert!(
            !can_tell || view.stolen >= due,
            "G8: {due} events were stolen, only {} were noticed",
            view.stolen
        );
        let is_gone = |row: &&Row| matches!(row.fate, Fate::Stolen | Fate::Lost) && row.shown.is_some();
        let stolen = self.queue.rows().filter(is_gone).count();
        assert!(
            view.stolen == 0 || stolen > 0 || self.ledgers.is_offset_set,
            "G8: {} events are said to be stolen, and none was",
            view.stolen
        );
    }

    /// Checks `ids`, which the portal has just deleted.
    pub(crate) fn judge_confirmed(&mut self, ids: &[u64]) {
        for id in ids {
            let row = self.queue.row(*id).expect("a row");
            let is_wanted = *id >= self.ledgers.abandoned_below && !self.ledgers.sinks.is_empty();
            let (born, visible) = (row.plan.born_ms, row.plan.visible_ms);
            assert!(
                row.shown.is_some() || !is_wanted || self.forgives_dates(),
                "G1: event {id} (given out at {born}, visible at {visible}) was confirmed unread"
            );
            if row.shown.is_none() {
                self.ledgers.sinks.values_mut().for_each(|ledger| ledger.excuse(*id));
            }
        }
    }

    /// The portal's clock, if it runs.
    fn portal_now_ms(&self) -> i64 {
        self.plan.portal.clock_ms(now_ms())
    }

    /// Whether dates may be wrong: dates with an error of an hour are detected only gradually.
    pub(crate) fn forgives_dates(&self) -> bool {
        self.plan.events.iter().any(|event| event.date_error_ms < -60_000)
    }

    /// Checks an answer with `ids` to a poll from `offset` on, which reaches run `life`. Returns how many of them are
    /// new.
    pub(crate) fn judge_answer(&mut self, ids: &[u64], has_more: bool, offset: u64, life: u64) -> u64 {
        self.note_proof(ids);
        let end = if has_more { ids.last().copied().unwrap_or(0) } else { u64::MAX };
        let missed: Vec<u64> = self
            .ledgers
            .in_memory
            .iter()
            .copied()
            .filter(|id| id_of(*id) >= offset && *id <= end && !ids.contains(id))
            .filter(|id| self.queue.row(*id).is_some_and(|row| row.fate == Fate::Stolen))
            .collect();
        // Events that an operator has given up cannot be missed.
        for id in missed.into_iter().filter(|id| *id >= self.ledgers.abandoned_below) {
            if self.ledgers.noticed.insert(id) {
                self.ledgers.thefts_due += 1;
                self.count.thefts_told += 1;
            }
        }
        let fresh: Vec<u64> = ids
            .iter()
            .copied()
            .filter(|id| self.queue.row(*id).is_some_and(|row| row.shown.is_none()))
            .collect();
        self.queue.show(ids, life, now_ms());
        if !has_more && self.ledgers.goal.is_none() {
            let shown = self.queue.rows().filter(|row| row.shown_in_life == Some(life));
            self.ledgers.goal = Some(shown.map(|row| row.plan.key).max().unwrap_or(0));
        }
        self.count.late += fresh.iter().filter(|id| self.queue.is_late(**id)).count() as u64;
        fresh.len() as u64
    }

    /// Checks the `ids` that `sink` gets at once.
    pub(crate) fn judge_row(&mut self, sink: &str, ids: &[u64]) {
        self.view();
        let seqs: Vec<_> = ids.iter().map(|id| self.ledgers.seqs.get(id)).collect();
        assert!(seqs.is_sorted_by(|one, next| one < next), "G3: `{sink}` got {ids:?}");
    }

    /// Records that `sink` has accepted the event `id` for good.
    pub(crate) fn accept(&mut self, sink: &'static str, id: u64) {
        let now = now_ms();
        let row = self.queue.row(id).expect("a row");
        assert!(row.shown.is_some(), "spurious: `{sink}` got {id} before it was read");
        let ledger = self.ledgers.sinks.get_mut(sink).unwrap_or_else(|| panic!("`{sink}` is no sink"));
        assert!(!ledger.is_unwanted(row), "G5: `{sink}` got {id} past its filter");
        self.count.deliveries += 1;
        ledger.open.remove(&id);
        if ledger.accepted.insert(id, now).is_some() {
            self.count.redeliveries += 1;
            assert!(ledger.credits.remove(&id), "G2: `{sink}` got {id} again, without any reason");
            return;
        }
        self.judge_order(sink, id);
        self.judge_uncommitted(sink);
    }

    fn judge_order(&mut self, sink: &'static str, id: u64) {
        if !self.ledgers.seqs.contains_key(&id) {
            self.view();
        }
        let ledger = &self.ledgers.sinks[sink];
        let comes_before = |higher: u64| match ledger.plan.flow.ordering {
            OrderingConfig::Strict => true,
            OrderingConfig::Chat => chat_of(higher) == chat_of(id),
            OrderingConfig::None => false,
        };
        // In the millisecond of the change, both orders are possible.
        let is_ordered = |at_ms: u64| ledger.ordered_since_ms == 0 || at_ms > ledger.ordered_since_ms;
        let seqs = &self.ledgers.seqs;
        let before = ledger.accepted.iter().find(|(other, at_ms)| {
            is_ordered(**at_ms) && comes_before(**other) && seqs.get(other) > seqs.get(&id)
        });
        assert!(before.is_none() || !ledger.is_tallied, "G3: `{sink}` got {id} after {before:?}");
    }

    /// After this many events a commit is due at any moment, not only at the end of a run (G2).
    fn judge_uncommitted(&mut self, sink: &'static str) {
        let count = |world: &Self, view: Option<&View>| {
            let lane = view.and_then(|view| view.lanes.get(sink));
            world.ledgers.sinks[sink].fresh(lane.map(|lane| &lane.checkpoint), &world.ledgers.seqs).len()
        };
        let greatest = COMMIT_EVENTS - 1 + self.ledgers.sinks[sink].plan.in_flight_max();
        // The last seen state of the disk is nearly always enough, and needs no new read.
        if count(self, self.ledgers.last.as_ref()) > greatest {
            let view = self.view();
            let uncommitted = count(self, Some(&view));
            assert!(uncommitted <= greatest, "G2: {uncommitted} events of `{sink}` are not committed");
        }
    }

    /// Checks the end of a turn; `was_crash` if it did not end on its own.
    pub(crate) fn judge_end(&mut self, was_crash: bool, ended_ms: u64) {
        self.catch_up(None);
        let view = self.examine();
        self.ledgers.noticed.clear();
        self.ledgers.generation_due = 0;
        for id in std::mem::take(&mut self.ledgers.in_memory) {
            self.excuse(id, &view);
        }
        self.ledgers.thefts_due = self.ledgers.thefts_due.min(view.stolen);
        let slack_ms = COMMIT_MS + 8 * self.plan.disk.longest_ms() + 20;
        let failed_ms = self.disk_failed_ms;
        let mut event_record = Vec::new();
        let (sinks, seqs) = (&mut self.ledgers.sinks, &self.ledgers.seqs);
        for (name, ledger) in sinks.iter_mut().filter(|(_, ledger)| ledger.is_configured) {
            let checkpoint = view.lanes.get(*name).map(|lane| &lane.checkpoint);
            let uncommitted = ledger.uncommitted(checkpoint, seqs);
            let fresh = ledger.fresh(checkpoint, seqs);
            let greatest = COMMIT_EVENTS - 1 + ledger.plan.in_flight_max();
            assert!(fresh.len() <= greatest, "G2: {} events of `{name}` were not committed", fresh.len());

            // If the disk fails, a commit is late. It cannot happen before the next retry.
            let is_due = |at_ms: u64| failed_ms.is_none_or(|failed_ms| failed_ms + DISK_DELAY_MAX_MS < at_ms);
            let mut fresh = fresh.into_iter().filter(|(_, at_ms)| is_due(*at_ms));
            let slack_ms = slack_ms + ledger.plan.latency_ms;
            let old = fresh.find(|(_, at_ms)| !was_crash || at_ms + slack_ms < ended_ms);
            assert!(old.is_none(), "G2: `{name}` has had {old:?}, and it is not committed");
            let is_gone = |row: &Row| matches!(row.fate, Fate::Stolen | Fate::Lost);
            let stolen = |id: &u64| self.queue.row(*id).is_some_and(is_gone);
            ledger.uncounted.extend(uncommitted.keys().filter(|id| stolen(id)));
            ledger.credits.extend(uncommitted.into_keys());
            let tally = view.lanes.get(*name).map(|lane| lane.tally);
            event_record
                .push(format!("books: `{name}` settled {}, counts {tally:?}", ledger.settled_count()));
        }
        for line in event_record {
            self.tell(line);
        }
    }

    /// Checks the final state, in which all counts must match (G5).
    pub(crate) fn judge_rest(&mut self, keep: Duration) {
        let view = self.examine();
        self.judge_trim(&view, keep);
        for (name, ledger) in &self.ledgers.sinks {
            assert!(ledger.open.is_empty(), "G1: `{name}` never got {:?}", ledger.open);
            if !ledger.is_tallied {
                continue;
            }
            let tally = view.lanes.get(*name).map(|lane| lane.tally).unwrap_or_default();
            let sum = tally.delivered + tally.filtered + tally.expired + tally.buried;
            let uncounted = ledger.uncounted.len() as u64;
            let (least, excused) =
                (ledger.settled_count() - uncounted, ledger.excused.len() as u64 + uncounted);
            assert!(
                (least..=least + excused).contains(&sum),
                "G5: `{name}` settled {least}, and counts {tally:?}"
            );
            assert_eq!(tally.buried, ledger.buried.len() as u64, "G5: dead letters of `{name}`");
            assert!(tally.delivered <= ledger.accepted.len() as u64, "G5: `{name}` counts {tally:?}");
        }
    }
}

impl Ledger {
    /// Whether the sink's filter or its start excludes `row`.
    fn is_filtered(&self, row: &Row) -> bool {
        self.is_unwanted(row)
            || self.start_ms.is_some_and(|start_ms| row.date_ms < start_ms.div_euclid(1000) * 1000)
    }

    fn is_unwanted(&self, row: &Row) -> bool {
        self.plan.is_unwanted(row.plan.kind)
    }

    fn is_expirable(&self, row: &Row) -> bool {
        // A fast clock makes events older. A slow clock is extrapolated with ours between two answers.
        let age_ms = now_ms().saturating_sub(row.plan.born_ms);
        let age_ms = age_ms + age_ms / 50 + 1100;
        self.plan.max_age.is_some_and(|max_age| u128::from(age_ms) >= max_age.as_millis())
    }
}

impl SinkPlan {
    fn is_unwanted(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&kind))
    }
}

/// A sink gets either all events, or those from a fixed moment on, which must not be in the future.
fn judge_start(name: &str, ledger: &mut Ledger, start_ms: Option<i64>, latest_ms: i64) {
    assert!(start_ms.is_none() || ledger.plan.starts_now, "G5: `{name}` does not get all from the beginning");
    assert!(ledger.start_ms.is_none() || start_ms == ledger.start_ms, "G5: the start of `{name}` has moved");
    let ahead_ms = start_ms.map_or(0, |start_ms| start_ms - latest_ms);
    assert!(ahead_ms <= 0, "G5: `{name}` starts {ahead_ms} ms from now only");
    ledger.start_ms = start_ms;
}

/// I4: settled events stay settled.
fn never_back(last: &View, view: &View) {
    assert!(view.next >= last.next, "I4: the journal's end went back to {}", view.next);
    assert!(view.generation >= last.generation, "I4: the generation went back to {}", view.generation);
    let is_same = view.generation == last.generation;
    assert!(!is_same || view.confirmed >= last.confirmed, "I4: confirmed went back to {}", view.confirmed);
    for (name, lane) in &last.lanes {
        let Some(now) = view.lanes.get(name) else { continue };
        let (before, after) = (lane.checkpoint.next(), now.checkpoint.next());
        assert!(after >= before, "I4: the checkpoint of `{name}` went back from {before} to {after}");
        let seqs = (before.get()..last.next).filter_map(Seq::try_new);
        let lost = seqs.filter(|seq| lane.checkpoint.covers(*seq)).find(|seq| !now.checkpoint.covers(*seq));
        assert!(lost.is_none(), "I4: the checkpoint of `{name}` has lost {lost:?}");
    }
}
