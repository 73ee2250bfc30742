//! Counts the calls of the portal, which must not be too many (G6).

use std::collections::VecDeque;

/// The calls of the last minute, and how many are justified.
#[derive(Default)]
pub(crate) struct Calls {
    made: VecDeque<u64>,
    reasons: VecDeque<(u64, u64)>,
    /// The calls of the current run.
    pub in_life: u64,
}

const MINUTE_MS: u64 = 60_000;

/// Calls without a reason of their own: a start reads the owner, the subscription and the beginning of the queue, and a
/// failure is followed by a few quick retries and then by slower and slower ones.
const CALLS_ANYWAY: u64 = 60;

impl Calls {
    /// Justifies `count` further calls, after a start or an event.
    pub(crate) fn justify(&mut self, now_ms: u64, count: u64) {
        self.reasons.push_back((now_ms, count));
    }

    /// Records a call, where an idle queue may be polled every `idle_ms`.
    pub(crate) fn note(&mut self, now_ms: u64, idle_ms: u64) {
        self.in_life += 1;
        self.made.push_back(now_ms);
        let since = now_ms.saturating_sub(MINUTE_MS);
        while self.made.front().is_some_and(|at| *at < since) {
            self.made.pop_front();
        }
        while self.reasons.front().is_some_and(|(at, _)| *at < since) {
            self.reasons.pop_front();
        }
        let greatest =
            CALLS_ANYWAY + MINUTE_MS / idle_ms + self.reasons.iter().map(|(_, count)| count).sum::<u64>();
        let count = self.made.len() as u64;
        assert!(count <= greatest, "G6: {count} calls within a minute, there was reason for {greatest}");
    }
}
