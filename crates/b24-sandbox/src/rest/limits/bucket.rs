//! The cloud's leaky bucket: each request adds one, time drains it, a full one refuses (PORTAL.md 7).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How much a portal bears.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSize {
    /// Requests at once: 50, or 250 on the largest plan.
    pub burst: f64,
    /// Requests per second in the long run: 2, or 5 on the largest plan.
    pub drain_per_s: f64,
}

/// One portal's bucket; all callers share it, since all come from one address.
#[derive(Debug, Default)]
pub struct Bucket {
    level: f64,
    drained_at: Option<Timestamp>,
}

impl Bucket {
    /// Whether a request at `now` is let in. Refused ones add nothing.
    pub fn admits(&mut self, size: BucketSize, now: Timestamp) -> bool {
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
