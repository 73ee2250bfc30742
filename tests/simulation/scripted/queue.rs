//! The portal's side: rows, when they become visible, and what happened to them (PORTAL.md 2.3 and 2.9).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::plan::Plan;
use crate::scripted::events::{EventPlan, RestorePlan, era_of, id_of, key_of};

/// The state of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Not visible yet.
    Unborn,
    Waiting,
    /// Confirmed by an offset of the engine.
    Confirmed,
    Stolen,
    /// Lost, because the portal was restored to a state without it.
    Lost,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub plan: EventPlan,
    pub date: String,
    /// The time of the event in Unix milliseconds.
    pub date_ms: i64,
    pub data: String,
    pub fate: Fate,
    /// The number of the first answer with this event.
    pub shown: Option<u64>,
    /// The last run that received this event.
    pub shown_in_life: Option<u64>,
    pub shown_ms: u64,
}

/// The effect and the result of a call.
pub(crate) struct Page {
    pub ids: Vec<u64>,
    pub has_more: bool,
    /// The events that the call confirmed.
    pub confirmed: Vec<u64>,
}

/// All rows, ascending.
pub(crate) struct Queue {
    rows: Vec<Row>,
    answers: u64,
    /// Waiting rows by key, which is also their order by id.
    waiting: BTreeSet<u64>,
    /// Invisible rows, as indexes of `rows`.
    unborn: Vec<usize>,
    thefts: Vec<(u64, u64)>,
    /// Future restores, the next one last.
    restores: Vec<RestorePlan>,
    /// The number of past restores.
    pub era: u64,
}

/// The chat of the event with this `key`.
pub(crate) fn chat_of(key: u64) -> u64 {
    key * 31 % 5
}

/// An incident in the queue without the engine.
pub(crate) enum Incident {
    Visible(u64),
    Stolen(Vec<u64>),
    /// The portal is restored and has lost these events.
    Restored(Vec<u64>),
}

impl Queue {
    pub(crate) fn new(plan: &Plan) -> Self {
        let rows: Vec<Row> = plan.events.iter().map(|event| Row::new(event, plan)).collect();
        let mut unborn: Vec<usize> = (0..rows.len()).collect();
        unborn.sort_by_key(|place| std::cmp::Reverse((rows[*place].plan.visible_ms, *place)));
        let thefts = plan.thefts.iter().rev().copied().collect();
        let restores = plan.restores.iter().rev().copied().collect();
        Self { rows, answers: 0, waiting: BTreeSet::new(), unborn, thefts, restores, era: 0 }
    }

    /// The event with this `key`, if it exists in the plan.
    pub(crate) fn row(&self, key: u64) -> Option<&Row> {
        self.rows.binary_search_by_key(&key, |row| row.plan.key).ok().map(|place| &self.rows[place])
    }

    /// The past events with this `id`, the latest one last.
    pub(crate) fn rows_with(&self, id: u64) -> impl Iterator<Item = &Row> {
        (0..=self.era).filter_map(move |era| self.row(key_of(era, id)))
    }

    fn row_mut(&mut self, key: u64) -> &mut Row {
        let place = self.rows.binary_search_by_key(&key, |row| row.plan.key).expect("a known event");
        &mut self.rows[place]
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Whether any row is still invisible.
    pub(crate) fn is_anything_unborn(&self) -> bool {
        !self.unborn.is_empty()
    }

    /// The keys of the visible rows.
    pub(crate) fn waiting(&self) -> &BTreeSet<u64> {
        &self.waiting
    }

    /// The next incident until `now_ms`.
    pub(crate) fn incident(&mut self, now_ms: u64) -> Option<Incident> {
        let born_ms = self.unborn.last().map_or(u64::MAX, |place| self.rows[*place].plan.visible_ms);
        let theft_ms = self.thefts.last().map_or(u64::MAX, |(theft_ms, _)| *theft_ms);
        let restore_ms = self.restores.last().map_or(u64::MAX, |restore| restore.up_ms);
        if born_ms.min(theft_ms).min(restore_ms) > now_ms {
            return None;
        }
        if restore_ms <= born_ms.min(theft_ms) {
            return self.restores.pop().map(|restore| Incident::Restored(self.restore(restore)));
        }
        if theft_ms < born_ms {
            return self.thefts.pop().map(|(_, share)| Incident::Stolen(self.steal(share)));
        }
        let row = self.unborn.pop().map(|place| &mut self.rows[place])?;
        row.fate = Fate::Waiting;
        self.waiting.insert(row.plan.key);
        Some(Incident::Visible(row.plan.key))
    }

    /// A foreign reader confirms the lowest `share` percent.
    fn steal(&mut self, share: u64) -> Vec<u64> {
        let count = (self.waiting.len() as u64 * share).div_ceil(100);
        let ids: Vec<u64> = self.waiting.iter().copied().take(usize::try_from(count).unwrap()).collect();
        for id in &ids {
            self.waiting.remove(id);
            self.row_mut(*id).fate = Fate::Stolen;
        }
        ids
    }

    /// Events that the backup lacks are lost, and invisible events never become visible.
    fn restore(&mut self, restore: RestorePlan) -> Vec<u64> {
        let era = self.era;
        self.era += 1;
        let (never, unborn) =
            self.unborn.iter().partition(|place| era_of(self.rows[**place].plan.key) <= era);
        self.unborn = unborn;
        let never: Vec<usize> = never;
        let never = never.into_iter().map(|place| self.rows[place].plan.key);
        let newer = self.waiting.iter().copied().filter(|key| id_of(*key) > restore.counter);
        let lost: Vec<u64> = never.chain(newer).collect();
        for key in &lost {
            self.waiting.remove(key);
            self.row_mut(*key).fate = Fate::Lost;
        }
        lost
    }

    /// Carries out a call for up to `limit` events from `offset` on.
    pub(crate) fn carry_out(&mut self, offset: u64, limit: u16) -> Page {
        let first = self.waiting.iter().find(|key| id_of(**key) >= offset).copied();
        let behind = first.map(|first| self.waiting.split_off(&first)).unwrap_or_default();
        let confirmed: Vec<u64> = std::mem::replace(&mut self.waiting, behind).into_iter().collect();
        for id in &confirmed {
            self.row_mut(*id).fate = Fate::Confirmed;
        }
        let ids: Vec<u64> = self.waiting.iter().copied().take(usize::from(limit)).collect();
        Page { has_more: ids.len() >= usize::from(limit), ids, confirmed }
    }

    /// Records that an answer with `ids` reaches the engine in run `life`.
    pub(crate) fn show(&mut self, ids: &[u64], life: u64, now_ms: u64) {
        self.answers += 1;
        let answers = self.answers;
        for id in ids {
            let row = self.row_mut(*id);
            if row.shown.is_none() {
                (row.shown, row.shown_ms) = (Some(answers), now_ms);
            }
            row.shown_in_life = Some(life);
        }
    }

    /// Whether `id` was first shown after a higher id.
    pub(crate) fn is_late(&self, id: u64) -> bool {
        let shown = self.row(id).and_then(|row| row.shown);
        self.rows
            .iter()
            .rev()
            .take_while(|row| row.plan.key > id)
            .any(|row| row.shown.is_some() && row.shown < shown)
    }
}

impl Row {
    fn new(event: &EventPlan, plan: &Plan) -> Self {
        let born_ms = plan.portal.clock_ms(event.born_ms) + event.date_error_ms;
        let second = Timestamp::from_second(born_ms.div_euclid(1000)).unwrap();
        Self {
            date: format!("\"{second}\""),
            date_ms: second.as_millisecond(),
            data: format!(
                r#"{{"message": {{"id": {}, "chatId": {}, "text": "\u0041 {}"}} }}"#,
                event.key * 7,
                chat_of(event.key),
                "x".repeat((event.key % 40) as usize)
            ),
            plan: event.clone(),
            fate: Fate::Unborn,
            shown: None,
            shown_in_life: None,
            shown_ms: 0,
        }
    }
}
