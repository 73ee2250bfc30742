//! The state of a sink: its lanes of all sources together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Grade, Health, LaneHealth, LaneState};

/// One sink, summed over its sources.
#[derive(Debug)]
pub struct SinkHealth<'h> {
    /// Its name.
    pub name: &'h str,
    /// The worst grade of its lanes.
    pub grade: Grade,
    /// The lane with that grade that has the most pending events.
    pub worst: &'h LaneHealth,
    /// How many lanes it has.
    pub lanes: usize,
    /// How many of them are in the state of the worst.
    pub alike: usize,
    /// How many events it has delivered.
    pub delivered: u64,
    /// How many its filter has excluded.
    pub filtered: u64,
    /// How many were too old for it.
    pub expired: u64,
    /// How many events of the journal it lacks.
    pub pending: u64,
    /// How many dead letters it has.
    pub dead_letters: u64,
    /// When the oldest event that it lacks was read, in Unix milliseconds.
    pub oldest_pending_ms: Option<i64>,
}

impl SinkHealth<'_> {
    /// The receiver's last words, or the reason why events wait; empty if nothing prevents their delivery.
    pub fn trouble(&self) -> &str {
        let is_current =
            matches!(self.worst.state, LaneState::Retrying | LaneState::Held | LaneState::Paused);
        if is_current { &self.worst.report.trouble } else { "" }
    }
}

/// The sinks of `health`, the worst first, then by name.
pub(super) fn sinks(health: &Health) -> Vec<SinkHealth<'_>> {
    let mut lanes_of: BTreeMap<&str, Vec<&LaneHealth>> = BTreeMap::new();
    for lane in &health.lanes {
        lanes_of.entry(&lane.report.sink).or_default().push(lane);
    }
    let mut sinks: Vec<_> = lanes_of.into_iter().filter_map(|(name, lanes)| sum(name, &lanes)).collect();
    sinks.sort_by_key(|sink| Reverse(sink.grade));
    sinks
}

fn sum<'h>(name: &'h str, lanes: &[&'h LaneHealth]) -> Option<SinkHealth<'h>> {
    // A lane with an error of its own says more than one whose source is in trouble.
    let rank = |lane: &&LaneHealth| {
        let has_error = matches!(lane.state, LaneState::Retrying | LaneState::Held | LaneState::Paused);
        (lane.grade, has_error, lane.report.pending)
    };
    let worst = *lanes.iter().rev().max_by_key(|lane| rank(lane))?;
    let total = |figure: &dyn Fn(&LaneHealth) -> u64| {
        lanes.iter().map(|lane| figure(lane)).fold(0, u64::saturating_add)
    };
    Some(SinkHealth {
        name,
        grade: worst.grade,
        worst,
        lanes: lanes.len(),
        alike: lanes.iter().filter(|lane| lane.state == worst.state).count(),
        delivered: total(&|lane| lane.report.delivered),
        filtered: total(&|lane| lane.report.filtered),
        expired: total(&|lane| lane.report.expired),
        pending: total(&|lane| lane.report.pending),
        dead_letters: total(&|lane| lane.report.dead_letters),
        oldest_pending_ms: lanes.iter().filter_map(|lane| lane.report.oldest_pending_ms).min(),
    })
}
