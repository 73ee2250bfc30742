//! The times of events for each kind of queue. The same seed gives the same times.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A kind of queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Workload {
    /// An event about every 40 s.
    Quiet,
    /// Conversations: an event every 1 to 8 s, and pauses of 30 s.
    Chatty,
    /// 60 events within 2 s, about every 35 s.
    Bursty,
    /// 100 events per second, at a constant rate.
    Firehose,
}

impl Workload {
    pub(crate) const ALL: [Self; 4] = [Self::Quiet, Self::Chatty, Self::Bursty, Self::Firehose];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Chatty => "chatty",
            Self::Bursty => "bursty",
            Self::Firehose => "firehose",
        }
    }

    /// The number of queues: with fewer events, a percentile needs more queues.
    pub(crate) fn queues(self) -> u64 {
        match self {
            Self::Quiet => 8,
            Self::Chatty | Self::Bursty => 4,
            Self::Firehose => 1,
        }
    }

    /// The times of one queue's events within `length`, ascending.
    pub(crate) fn schedule(self, length: Duration, seed: u64) -> Vec<Duration> {
        let mut dice = StdRng::seed_from_u64(seed + self as u64);
        let mut moments_s: Vec<f64> = Vec::new();
        let mut now_s = dice.random_range(0.0..self.first_within_s());
        while now_s < length.as_secs_f64() {
            let pause_s = match self {
                Self::Quiet => dice.random_range(20.0..60.0),
                Self::Chatty if dice.random_bool(0.1) => 30.0,
                Self::Chatty => dice.random_range(1.0..8.0),
                Self::Bursty => dice.random_range(30.0..40.0),
                Self::Firehose => 0.01,
            };
            match self {
                Self::Bursty => moments_s.extend((0..60).map(|_| now_s + dice.random_range(0.0..2.0))),
                Self::Quiet | Self::Chatty | Self::Firehose => moments_s.push(now_s),
            }
            now_s += pause_s;
        }
        moments_s.sort_by(f64::total_cmp);
        moments_s.into_iter().map(Duration::from_secs_f64).collect()
    }

    fn first_within_s(self) -> f64 {
        match self {
            Self::Quiet => 40.0,
            Self::Bursty => 30.0,
            Self::Chatty => 8.0,
            Self::Firehose => 0.01,
        }
    }
}
