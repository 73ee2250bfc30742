//! This machine's wall clock, which may jump by hours at any moment, and a portal's clock, which has a drift of its
//! own.

use std::cell::RefCell;
use std::time::Duration;

use b24relay::store::View;
use fastrand::Rng;

use crate::plan::{ClockPlan, EPOCH_MS, PortalPlan, one_in};
use crate::world::{World, now_ms};

const HOUR_MS: i64 = 3_600_000;

/// The longest time until a failed disk operation is retried and a commit is made.
const DISK_DELAY_MAX: Duration = Duration::from_secs(70);

thread_local! {
    static WALL: RefCell<Wall> = const { RefCell::new(Wall { jumps: Vec::new(), seen: 0 }) };
}

/// This machine's clock.
struct Wall {
    /// The same as in the plan.
    jumps: Vec<(u64, i64)>,
    /// How many jumps had happened when the clock was last read.
    seen: usize,
}

/// Draws the times at which the clock jumps, and how far it is ahead of its original time from then on.
pub(crate) fn draw_jumps(seed: u64, quiet_ms: u64, portal: ClockPlan) -> Vec<(u64, i64)> {
    let mut dice = Rng::with_seed(seed ^ 0xC10C_C095);
    // If a portal does not report its time, this machine's clock is used in its place.
    if portal == ClockPlan::Silent || !one_in(&mut dice, 4) {
        return Vec::new();
    }
    let mut jumps: Vec<(u64, i64)> =
        (0..dice.u64(1..=4)).map(|_| (dice.u64(0..quiet_ms), dice.i64(-10..=10) * HOUR_MS)).collect();
    jumps.sort_unstable();
    jumps
}

/// Draws how fast a portal's clock is, in thousandths.
pub(crate) fn draw_drift(seed: u64, has_odd_dates: bool) -> i64 {
    let mut dice = Rng::with_seed(seed ^ 0xD21F);
    if has_odd_dates || !one_in(&mut dice, 4) { 0 } else { [-20, -1, 1, 20][dice.usize(..4)] }
}

/// From now on this thread's clock follows `jumps`.
pub(crate) fn begin(jumps: &[(u64, i64)]) {
    WALL.set(Wall { jumps: jumps.to_vec(), seen: 0 });
}

/// How many jumps the engine has noticed.
pub(crate) fn seen() -> u64 {
    WALL.with_borrow(|wall| wall.seen as u64)
}

/// The time of this machine's clock, in Unix milliseconds.
pub(crate) fn wall_ms() -> i64 {
    let now = now_ms();
    WALL.with_borrow_mut(|wall| {
        let past = wall.jumps.iter().filter(|(at_ms, _)| *at_ms <= now).count();
        wall.seen = wall.seen.max(past);
        let ahead_ms = past.checked_sub(1).map_or(0, |last| wall.jumps[last].1);
        EPOCH_MS + i64::try_from(now).unwrap() + ahead_ms
    })
}

impl PortalPlan {
    /// The largest possible error by now of a time that it reported earlier.
    pub(crate) fn drift_ms(&self) -> i64 {
        i64::try_from(now_ms()).unwrap() * self.drift.abs() / 1000
    }

    /// The time of its clock `ms` after the beginning, in Unix milliseconds, if its clock runs.
    pub(crate) fn clock_ms(&self, ms: u64) -> i64 {
        let ms = i64::try_from(ms).unwrap();
        EPOCH_MS + self.ahead_ms + ms + ms * self.drift / 1000
    }
}

impl World {
    /// Events that every sink has are deleted from the journal after `keep`, whatever the clock does.
    pub(crate) fn judge_trim(&self, view: &View, keep: Duration) {
        // If the disk failed at first, an event was stored later than it was shown.
        let longest = if keep.is_zero() { keep } else { keep + DISK_DELAY_MAX };
        let keys = view.journal.keys().filter_map(|seq| self.ledgers.entries.get(seq)).map(|entry| entry.key);
        let age = |key: u64| {
            let shown_ms = self.queue.row(key).expect("a row").shown_ms;
            Duration::from_millis(now_ms() - shown_ms)
        };
        let old = keys.map(|key| (key, age(key))).find(|(_, age)| *age > longest);
        assert!(old.is_none(), "the journal still has {old:?}, and is to keep it for {keep:?}");
        let gaps = &view.gaps;
        assert!(gaps.is_empty(), "G8: {gaps:?} are said to be gaps, and there was none");
    }
}
