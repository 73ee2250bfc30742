//! The events that a portal gives out, and its restores: after each of them it counts from a lower id again.
//!
//! The simulation tells events apart by a key, which is made of the era of the portal's counter and the event's id
//! there. So keys ascend as events are given out, also where the portal uses an id twice.

use fastrand::Rng;

use crate::plan::{KINDS, one_in};

/// What lies between the keys of two events with one id, from one era to the next.
const ERA: u64 = 1_000_000;

/// How many events there are at most.
const EVENTS_MAX: usize = 80;

/// How long a restore takes at least: longer than any pause between two polls, and long enough for the dates of
/// before and after it to tell.
const DOWN_MIN_MS: u64 = 13_000;

/// A world that is quiet earlier has no time for a restore.
const QUIET_MIN_MS: u64 = 40_000;

/// One event of the queue.
#[derive(Clone, Debug)]
pub struct EventPlan {
    /// See the top of this file.
    pub key: u64,
    /// When its id was given out.
    pub born_ms: u64,
    /// When its row can be seen.
    pub visible_ms: u64,
    pub kind: &'static str,
    /// By which its sender dates it wrongly, if it does.
    pub date_error_ms: i64,
}

/// A restore from a backup.
#[derive(Clone, Copy, Debug)]
pub struct RestorePlan {
    /// When the backup was made.
    pub taken_ms: u64,
    /// From when on the portal answers nobody.
    pub down_ms: u64,
    /// When it answers again.
    pub up_ms: u64,
    /// The last id that it had given out by the backup: what has a higher one is gone.
    pub counter: u64,
}

/// The id that the event of `key` has at the portal.
pub fn id_of(key: u64) -> u64 {
    key % ERA
}

/// How many restores there had been when the event of `key` was given out.
pub fn era_of(key: u64) -> u64 {
    key / ERA
}

/// The key of the event that has `id` in `era`.
pub fn key_of(era: u64, id: u64) -> u64 {
    era * ERA + id
}

/// When the portal is restored, if ever. The counters follow with the events.
pub fn draw_restores(dice: &mut Rng, quiet_ms: u64) -> Vec<RestorePlan> {
    let (mut restores, mut from_ms) = (Vec::new(), quiet_ms / 8);
    while quiet_ms >= QUIET_MIN_MS && restores.len() < 2 && from_ms + DOWN_MIN_MS < quiet_ms / 4 * 3 {
        let down_ms = dice.u64(from_ms..quiet_ms / 4 * 3 - DOWN_MIN_MS);
        let up_ms = down_ms + DOWN_MIN_MS + dice.u64(0..5000);
        // Mostly a recent backup: what it has not got was read only just before.
        let oldest_ms = if dice.bool() { down_ms.saturating_sub(10_000) } else { 0 };
        let taken_ms = dice.u64(oldest_ms..=down_ms);
        restores.push(RestorePlan { taken_ms, down_ms, up_ms, counter: 0 });
        from_ms = up_ms + 5000;
    }
    restores
}

/// The events of a portal that is restored as `restores` says, whose counters are filled in.
pub fn draw_events(
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
    // Dates that are behind by more than the lag can defeat it where nothing is known of them yet (docs/concepts/guarantees.md, Limits).
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

/// Mostly near the end of what the lag covers: that is where it must hold.
fn draw_lateness(dice: &mut Rng, late_ms: u64, late_share: u64) -> u64 {
    if dice.u64(..100) >= late_share {
        0
    } else if dice.bool() {
        late_ms - dice.u64(0..=late_ms / 10)
    } else {
        dice.u64(0..=late_ms)
    }
}

/// The last id that was given out up to `at_ms`.
fn last_id(events: &[EventPlan], at_ms: u64) -> Option<u64> {
    events.iter().rev().find(|event| event.born_ms <= at_ms).map(|event| id_of(event.key))
}

/// The restores of one world of eight, if its dates can be relied on.
pub fn draw_some_restores(seed: u64, quiet_ms: u64, has_odd_dates: bool) -> Vec<RestorePlan> {
    let mut dice = Rng::with_seed(seed ^ 0xBAC_C095);
    if one_in(&mut dice, 5) && !has_odd_dates { draw_restores(&mut dice, quiet_ms) } else { Vec::new() }
}
