//! The cloud's leaky bucket: each request adds one, it drains over time, and requests are refused when it is
//! full (PORTAL.md 7).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The rate limit of a portal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketSize {
    /// Requests at once: 50, or 250 on the largest plan.
    pub burst: f64,
    /// Requests per second over a longer time: 2, or 5 on the largest plan.
    pub drain_per_s: f64,
}

/// One portal's bucket, shared by all callers, because they have the same address.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    level: f64,
    drained_at: Option<Timestamp>,
}

impl Bucket {
    /// True if a request at `now` is accepted. Refused requests are not counted.
    pub(crate) fn admits(&mut self, size: BucketSize, now: Timestamp) -> bool {
        let since = self.drained_at.replace(now).unwrap_or(now);
        let drained = now.duration_since(since).as_secs_f64().max(0.0) * size.drain_per_s;
        self.level = (self.level - drained).max(0.0);
        let admitted = self.level < size.burst;
        if admitted {
            self.level += 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_fills_it_and_time_drains_it() {
        let size = BucketSize { burst: 3.0, drain_per_s: 2.0 };
        let mut bucket = Bucket::default();
        let mut admitted = |second| {
            let now = Timestamp::from_second(second).unwrap();
            (0..10).filter(|_| bucket.admits(size, now)).count()
        };
        assert_eq!([admitted(0), admitted(1), admitted(100)], [3, 2, 3]);
    }
}
