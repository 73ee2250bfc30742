//! The events that a portal issues, and its restores: after each restore the portal counts from a lower id again.
//!
//! The simulation identifies an event by a key, which combines the era of the portal's counter and the event's id in
//! that era. So keys ascend in the order of events, even if the portal uses an id twice.

use fastrand::Rng;

use crate::plan::{KINDS, one_in};

/// The distance between the keys of two events with the same id in consecutive eras.
const ERA: u64 = 1_000_000;

/// The largest number of events.
const EVENTS_MAX: usize = 80;

/// The shortest restore: longer than any pause between two polls, and long enough for the dates before and after it to
/// be distinguishable.
const DOWN_MIN_MS: u64 = 13_000;

/// A world that becomes quiet earlier has no time for a restore.
const QUIET_MIN_MS: u64 = 40_000;

/// One event of the queue.
#[derive(Clone, Debug)]
pub(crate) struct EventPlan {
    /// The key of the event, which combines era and id.
    pub key: u64,
    /// The time at which its id was issued.
    pub born_ms: u64,
    /// The time at which its row becomes visible.
    pub visible_ms: u64,
    pub kind: &'static str,
    /// The error in its date, if there is one.
    pub date_error_ms: i64,
}

/// A restore from a backup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestorePlan {
    /// The time of the backup.
    pub taken_ms: u64,
    /// The time from which the portal is down.
    pub down_ms: u64,
    /// The time at which it is up again.
    pub up_ms: u64,
    /// The last id issued before the backup. Events with a higher id are lost.
    pub counter: u64,
}

/// The id of the event with this `key` at the portal.
pub(crate) fn id_of(key: u64) -> u64 {
    key % ERA
}

/// The number of restores before the event with this `key`.
pub(crate) fn era_of(key: u64) -> u64 {
    key / ERA
}

/// The key of the event that has `id` in `era`.
pub(crate) fn key_of(era: u64, id: u64) -> u64 {
    era * ERA + id
}

/// Draws the times of restores, if there are any. The counters are set later, with the events.
pub(crate) fn draw_restores(dice: &mut Rng, quiet_ms: u64) -> Vec<RestorePlan> {
    let (mut restores, mut from_ms) = (Vec::new(), quiet_ms / 8);
    while quiet_ms >= QUIET_MIN_MS && restores.len() < 2 && from_ms + DOWN_MIN_MS < quiet_ms / 4 * 3 {
        let down_ms = dice.u64(from_ms..quiet_ms / 4 * 3 - DOWN_MIN_MS);
        let up_ms = down_ms + DOWN_MIN_MS + dice.u64(0..5000);
        // Mostly a recent backup, which lacks only recently read events.
        let oldest_ms = if dice.bool() { down_ms.saturating_sub(10_000) } else { 0 };
        let taken_ms = dice.u64(oldest_ms..=down_ms);
        restores.push(RestorePlan { taken_ms, down_ms, up_ms, counter: 0 });
        from_ms = up_ms + 5000;
    }
    restores
}

/// Draws the events of a portal that is restored according to `restores`, and sets the counters of the restores.
pub(crate) fn draw_events(
    dice: &mut Rng,
    quiet_ms: u64,
    late_ms: u64,
    has_odd_dates: bool,
    restores: &mut [RestorePlan],
) -> Vec<EventPlan> {
    let pace_ms = [50, 200, 1000, 5000][dice.usize(..4)];
    let late_share = if late_ms == 0 { 0 } else { [0, 10, 30, 60][dice.usize(..4)] };
    let date_error_ms =
        if has_odd_dates { [-3_600_000, -8000, -3000, 5000, 3_600_000][dice.usize(..5)] } else { 0 };
    // Dates that are too early by more than the lag can defeat it while nothing is known about them
    // (docs/concepts/guarantees.md, Limits).
    let late_share = if date_error_ms == -3_600_000 { 0 } else { late_share };
    let odd_from_ms = if dice.bool() { 0 } else { dice.u64(0..quiet_ms) };
    let first = dice.u64(1..3000);
    let (mut events, mut id, mut now, mut era) = (Vec::new(), first, 0, 0);
    let share = EVENTS_MAX / (restores.len() + 1);
    while events.len() < EVENTS_MAX {
        now += match dice.u64(..100) {
            0..50 => dice.u64(0..=pace_ms),
            50..90 => dice.u64(0..10),
            90..98 => dice.u64(0..=pace_ms * 5),
            _ => dice.u64(0..20_000),
        };
        if let Some(restore) = restores.get_mut(era)
            && (now >= restore.down_ms || events.len() >= share * (era + 1))
        {
            now = now.max(restore.down_ms) - restore.down_ms + restore.up_ms;
            era += 1;
            id = last_id(&events, restore.taken_ms).unwrap_or(first);
            restore.counter = id;
        }
        if now >= quiet_ms {
            break;
        }
        id += if dice.bool() { 1 } else { dice.u64(1..5) };
        let late = draw_lateness(dice, late_ms, late_share);
        let date_error_ms = if now >= odd_from_ms { date_error_ms } else { 0 };
        events.push(EventPlan {
            key: key_of(era as u64, id),
            born_ms: now,
            visible_ms: now + late,
            kind: KINDS[dice.usize(..3)],
            date_error_ms,
        });
    }
    events
}

/// Mostly close to the limit of the lag, because that is the critical case.
fn draw_lateness(dice: &mut Rng, late_ms: u64, late_share: u64) -> u64 {
    if dice.u64(..100) >= late_share {
        0
    } else if dice.bool() {
        late_ms - dice.u64(0..=late_ms / 10)
    } else {
        dice.u64(0..=late_ms)
    }
}

/// The last id that was issued until `at_ms`.
fn last_id(events: &[EventPlan], at_ms: u64) -> Option<u64> {
    events.iter().rev().find(|event| event.born_ms <= at_ms).map(|event| id_of(event.key))
}

/// Draws restores for one world of eight, if its dates are reliable.
pub(crate) fn draw_some_restores(seed: u64, quiet_ms: u64, has_odd_dates: bool) -> Vec<RestorePlan> {
    let mut dice = Rng::with_seed(seed ^ 0xBAC_C095);
    if one_in(&mut dice, 5) && !has_odd_dates { draw_restores(&mut dice, quiet_ms) } else { Vec::new() }
}
