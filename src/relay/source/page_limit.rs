//! How many events a poll may ask for, where answers with many events do not arrive. Pure.
//!
//! The limit that worked is kept for a number of full pages before it is doubled. After a doubling that fails, the next
//! one waits for more pages, so that a queue of large events is not asked for too much again and again. After a
//! doubling that works, the next one comes soon, because a long backlog must be read within the portal's 24 hours.

/// How many full pages come before the first doubling.
const PAGES_MIN: u32 = 8;

/// The factor by which that number grows when a doubling has failed, and its maximum.
const PAGES_FACTOR: u32 = 4;
const PAGES_MAX: u32 = 512;

/// How many answers in a row must be missing or broken before the size of the page is taken for the cause.
const FAILURES: u32 = 2;

/// The limit of one source's polls.
pub(crate) struct PageLimit {
    configured: u16,
    current: u16,
    /// How many full pages have come since it last changed.
    pages: u32,
    /// How many full pages must come before it is doubled.
    pages_wanted: u32,
    /// It was doubled, and no full page has come since.
    is_trial: bool,
    failures: u32,
}

impl PageLimit {
    pub(crate) fn new(configured: u16) -> Self {
        Self {
            configured,
            current: configured,
            pages: 0,
            pages_wanted: PAGES_MIN,
            is_trial: false,
            failures: 0,
        }
    }

    /// The current limit.
    pub(crate) fn get(&self) -> u16 {
        self.current
    }

    /// Whether the limit is below the configured one.
    pub(crate) fn is_reduced(&self) -> bool {
        self.current < self.configured
    }

    /// Notes that a page has arrived. `is_full` says that the limit has cut it, which proves that pages of this size
    /// work.
    pub(crate) fn arrived(&mut self, is_full: bool) {
        self.failures = 0;
        if !is_full || !self.is_reduced() && !self.is_trial {
            return;
        }
        if self.is_trial {
            (self.is_trial, self.pages_wanted) = (false, PAGES_MIN);
        }
        self.pages += 1;
        if self.is_reduced() && self.pages >= self.pages_wanted {
            (self.pages, self.is_trial) = (0, true);
            self.current = self.current.saturating_mul(2).min(self.configured);
        }
    }

    /// Notes that an answer was missing or broken, perhaps because of its size.
    pub(crate) fn failed(&mut self) {
        self.failures += 1;
        if self.failures >= FAILURES {
            self.failures = 0;
            self.halve();
        }
    }

    /// Asks for half as many events from now on, but at least for one, because the page was too large.
    pub(crate) fn halve(&mut self) {
        if self.is_trial {
            self.pages_wanted = (self.pages_wanted * PAGES_FACTOR).min(PAGES_MAX);
        }
        (self.pages, self.is_trial) = (0, false);
        self.current = (self.current / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limits of `polls` polls of an endless backlog, in which a page of more than `bearable` events fails.
    fn asked(bearable: u16, polls: usize) -> Vec<u16> {
        let mut limit = PageLimit::new(1000);
        let poll = |_| {
            let asked = limit.get();
            if asked > bearable {
                limit.halve();
            } else {
                limit.arrived(true);
            }
            asked
        };
        (0..polls).map(poll).collect()
    }

    #[test]
    fn the_limit_that_worked_is_kept_and_a_failed_doubling_is_tried_ever_more_rarely() {
        let asked = asked(250, 1000);
        assert_eq!(asked[..11], [1000, 500, 250, 250, 250, 250, 250, 250, 250, 250, 500]);
        let failed: Vec<usize> = (2..1000).filter(|at| asked[*at] == 500).collect();
        assert_eq!(failed, [10, 10 + 33, 10 + 33 + 129, 10 + 33 + 129 + 513]);
    }

    #[test]
    fn it_goes_down_to_one_event_and_all_the_way_up_again() {
        let mut limit = PageLimit::new(1000);
        let down: Vec<u16> = (0..11)
            .map(|_| {
                limit.halve();
                limit.get()
            })
            .collect();
        assert_eq!(down, [500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1]);
        let mut up = vec![1];
        for _ in 0..200 {
            limit.arrived(true);
            up.extend(Some(limit.get()).filter(|now| up.last() != Some(now)));
        }
        assert_eq!(up, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]);
        assert!(!limit.is_reduced());
    }

    #[test]
    fn two_failures_in_a_row_halve_it_and_one_between_good_pages_does_not() {
        let mut limit = PageLimit::new(1000);
        for _ in 0..10 {
            limit.failed();
            limit.arrived(false);
        }
        assert_eq!(limit.get(), 1000);
        let after: Vec<u16> = (0..6)
            .map(|_| {
                limit.failed();
                limit.get()
            })
            .collect();
        assert_eq!(after, [1000, 500, 500, 250, 250, 125]);
    }

    #[test]
    fn a_page_that_was_not_full_proves_nothing() {
        let mut limit = PageLimit::new(1000);
        limit.halve();
        for _ in 0..1000 {
            limit.arrived(false);
        }
        assert_eq!(limit.get(), 500);
    }
}
