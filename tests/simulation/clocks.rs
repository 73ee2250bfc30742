//! This machine's wall clock, which may jump by hours at any moment, and a portal's clock, which goes its own way.

use std::cell::RefCell;

use fastrand::Rng;

use crate::plan::{ClockPlan, EPOCH_MS, PortalPlan, one_in};
use crate::world::now_ms;

const HOUR_MS: i64 = 3_600_000;

thread_local! {
    static WALL: RefCell<Wall> = const { RefCell::new(Wall { jumps: Vec::new(), seen: 0 }) };
}

/// This machine's clock.
struct Wall {
    /// As in the plan.
    jumps: Vec<(u64, i64)>,
    /// How many of them have happened before somebody looked at the clock.
    seen: usize,
}

/// When the clock jumps, and by how much it is ahead of its beginning from then on.
pub fn draw_jumps(seed: u64, quiet_ms: u64, portal: ClockPlan) -> Vec<(u64, i64)> {
    let mut dice = Rng::with_seed(seed ^ 0xC10C_C095);
    // Of a portal that does not tell its time nobody can know: this machine's clock stands for it.
    if portal == ClockPlan::Silent || !one_in(&mut dice, 4) {
        return Vec::new();
    }
    let mut jumps: Vec<(u64, i64)> =
        (0..dice.u64(1..=4)).map(|_| (dice.u64(0..quiet_ms), dice.i64(-10..=10) * HOUR_MS)).collect();
    jumps.sort_unstable();
    jumps
}

/// By how much a portal's clock goes fast, in thousandths.
pub fn draw_drift(seed: u64, has_odd_dates: bool) -> i64 {
    let mut dice = Rng::with_seed(seed ^ 0xD21F);
    if has_odd_dates || !one_in(&mut dice, 4) { 0 } else { [-20, -1, 1, 20][dice.usize(..4)] }
}

/// From now on this thread's clock jumps as `jumps` says.
pub fn begin(jumps: &[(u64, i64)]) {
    WALL.set(Wall { jumps: jumps.to_vec(), seen: 0 });
}

/// How many jumps somebody of ours has come upon.
pub fn seen() -> u64 {
    WALL.with_borrow(|wall| wall.seen as u64)
}

/// What this machine's clock shows, in Unix milliseconds.
pub fn wall_ms() -> i64 {
    let now = now_ms();
    WALL.with_borrow_mut(|wall| {
        let past = wall.jumps.iter().filter(|(at_ms, _)| *at_ms <= now).count();
        wall.seen = wall.seen.max(past);
        let ahead_ms = past.checked_sub(1).map_or(0, |last| wall.jumps[last].1);
        EPOCH_MS + i64::try_from(now).unwrap() + ahead_ms
    })
}

impl PortalPlan {
    /// By how much it can have gone wrong by now since it was last told.
    pub fn drift_ms(&self) -> i64 {
        i64::try_from(now_ms()).unwrap() * self.drift.abs() / 1000
    }

    /// What its clock shows `ms` after the world's beginning, if it goes, in Unix milliseconds.
    pub fn clock_ms(&self, ms: u64) -> i64 {
        let ms = i64::try_from(ms).unwrap();
        EPOCH_MS + self.ahead_ms + ms + ms * self.drift / 1000
    }
}
