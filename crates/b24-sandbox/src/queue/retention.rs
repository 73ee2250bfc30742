//! The schedule on which the portal deletes rows older than 24 hours (PORTAL.md 2.5).

/// Unconfirmed events are kept at least this long.
pub(crate) const LIFETIME_S: i64 = 24 * 3600;

/// The maximum number of rows that one run deletes.
pub(crate) const CHUNK: usize = 1000;

/// The pause after a run that deleted a full chunk.
const BUSY_S: i64 = 60;

/// The pause after any other run.
const IDLE_S: i64 = 3600;

/// The schedule of the cleaner: the time of its next run.
#[derive(Debug)]
pub(crate) struct Cleaner {
    next_run_s: i64,
}

impl Cleaner {
    /// A cleaner that has just run.
    pub(crate) fn new(now_s: i64) -> Self {
        Self { next_run_s: now_s + IDLE_S }
    }

    /// The cutoff of the run that is due at `now_s`, if one is. The run deletes up to [`CHUNK`] rows created
    /// before the cutoff. If the clock was set back by hours, the schedule restarts.
    pub(crate) fn due(&mut self, now_s: i64) -> Option<i64> {
        if self.next_run_s - now_s > IDLE_S {
            *self = Self::new(now_s);
        }
        (self.next_run_s <= now_s).then(|| self.next_run_s - LIFETIME_S)
    }

    /// Records that the due run is over and deleted `count` rows.
    pub(crate) fn ran(&mut self, count: usize) {
        self.next_run_s += if count >= CHUNK { BUSY_S } else { IDLE_S };
    }

    /// Skips all runs up to `now_s`, because none of them would delete a row.
    pub(crate) fn skip_to(&mut self, now_s: i64) {
        let runs = (now_s - self.next_run_s).div_euclid(IDLE_S) + 1;
        self.next_run_s += runs.max(0) * IDLE_S;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of the runs up to `now_s`, if they delete these numbers of rows.
    fn runs(cleaner: &mut Cleaner, now_s: i64, counts: &[usize]) -> Vec<i64> {
        let mut times = Vec::new();
        while let Some(cutoff) = cleaner.due(now_s) {
            cleaner.ran(counts.get(times.len()).copied().unwrap_or(0));
            times.push(cutoff + LIFETIME_S);
        }
        times
    }

    #[test]
    fn runs_hourly_and_each_minute_under_backlog() {
        let mut cleaner = Cleaner::new(0);
        assert_eq!(runs(&mut cleaner, 3599, &[]), [0; 0]);
        assert_eq!(runs(&mut cleaner, 3600, &[1000]), [3600]);
        assert_eq!(runs(&mut cleaner, 3720, &[1000, 999]), [3660, 3720]);
        assert_eq!(runs(&mut cleaner, 7319, &[]), [0; 0]);
        assert_eq!(runs(&mut cleaner, 7320, &[]), [7320]);
    }

    #[test]
    fn skipping_keeps_the_hourly_beat() {
        let mut cleaner = Cleaner::new(0);
        cleaner.skip_to(90_000);
        assert_eq!(runs(&mut cleaner, 93_599, &[]), [0; 0]);
        assert_eq!(runs(&mut cleaner, 93_600, &[]), [93_600]);
    }

    #[test]
    fn a_clock_set_back_starts_a_new_agenda() {
        let mut cleaner = Cleaner::new(1_000_000);
        assert_eq!(runs(&mut cleaner, 500, &[]), [0; 0]);
        assert_eq!(runs(&mut cleaner, 500 + 3600, &[]), [4100]);
    }
}
