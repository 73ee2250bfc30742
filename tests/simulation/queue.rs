//! The portal's side: rows, by when they can be seen and what became of them (PORTAL.md 2.3 and 2.9).

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::events::{EventPlan, RestorePlan, era_of, id_of, key_of};
use crate::plan::Plan;

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Nobody can see it yet.
    Unborn,
    Waiting,
    /// The engine's own offset was above it.
    Confirmed,
    Stolen,
    /// The portal was set back to a state without it.
    Lost,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Row {
    pub plan: EventPlan,
    pub date: String,
    /// The same in Unix milliseconds.
    pub date_ms: i64,
    pub data: String,
    pub fate: Fate,
    /// In which answer it came to the engine first.
    pub shown: Option<u64>,
    /// In which life it came to the engine last.
    pub shown_in_life: Option<u64>,
    pub shown_ms: u64,
}

/// What a call did and found.
pub struct Page {
    pub ids: Vec<u64>,
    pub has_more: bool,
    /// What the call made the portal forget.
    pub confirmed: Vec<u64>,
}

/// All rows, ascending.
pub struct Queue {
    rows: Vec<Row>,
    answers: u64,
    /// Rows of no fate but waiting, by key: that is their order by id as well.
    waiting: BTreeSet<u64>,
    /// Not yet visible, as places in `rows`.
    unborn: Vec<usize>,
    thefts: Vec<(u64, u64)>,
    /// Those that are to come, the next one last.
    restores: Vec<RestorePlan>,
    /// How many there were.
    pub era: u64,
}

/// In which chat the event of `key` happens.
pub fn chat_of(key: u64) -> u64 {
    key * 31 % 5
}

/// Something that happens to the queue by itself.
pub enum Incident {
    Visible(u64),
    Stolen(Vec<u64>),
    /// The portal is set back, and has these no longer.
    Restored(Vec<u64>),
}

impl Queue {
    pub fn new(plan: &Plan) -> Self {
        let rows: Vec<Row> = plan.events.iter().map(|event| Row::new(event, plan)).collect();
        let mut unborn: Vec<usize> = (0..rows.len()).collect();
        unborn.sort_by_key(|place| std::cmp::Reverse((rows[*place].plan.visible_ms, *place)));
        let thefts = plan.thefts.iter().rev().copied().collect();
        let restores = plan.restores.iter().rev().copied().collect();
        Self { rows, answers: 0, waiting: BTreeSet::new(), unborn, thefts, restores, era: 0 }
    }

    /// The event of `key`, if there ever was or will be one.
    pub fn row(&self, key: u64) -> Option<&Row> {
        self.rows.binary_search_by_key(&key, |row| row.plan.key).ok().map(|place| &self.rows[place])
    }

    /// The events that have had `id` so far, the latest one last.
    pub fn rows_with(&self, id: u64) -> impl Iterator<Item = &Row> {
        (0..=self.era).filter_map(move |era| self.row(key_of(era, id)))
    }

    fn row_mut(&mut self, key: u64) -> &mut Row {
        let place = self.rows.binary_search_by_key(&key, |row| row.plan.key).expect("a known event");
        &mut self.rows[place]
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Whether there is anything that nobody can see yet.
    pub fn is_anything_unborn(&self) -> bool {
        !self.unborn.is_empty()
    }

    /// The ids that can be seen now.
    pub fn waiting(&self) -> &BTreeSet<u64> {
        &self.waiting
    }

    /// The next thing that happened by itself up to `now_ms`.
    pub fn incident(&mut self, now_ms: u64) -> Option<Incident> {
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

    /// What the backup has not got is gone, and what was about to become visible never does.
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

    /// What the portal does when it is asked for up to `limit` events from `offset` on.
    pub fn carry_out(&mut self, offset: u64, limit: u16) -> Page {
        let first = self.waiting.iter().find(|key| id_of(**key) >= offset).copied();
        let behind = first.map(|first| self.waiting.split_off(&first)).unwrap_or_default();
        let confirmed: Vec<u64> = std::mem::replace(&mut self.waiting, behind).into_iter().collect();
        for id in &confirmed {
            self.row_mut(*id).fate = Fate::Confirmed;
        }
        let ids: Vec<u64> = self.waiting.iter().copied().take(usize::from(limit)).collect();
        Page { has_more: ids.len() >= usize::from(limit), ids, confirmed }
    }

    /// An answer with `ids` reaches the engine in life `life`.
    pub fn show(&mut self, ids: &[u64], life: u64, now_ms: u64) {
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

    /// Whether `id` was shown first after a higher one was.
    pub fn is_late(&self, id: u64) -> bool {
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
