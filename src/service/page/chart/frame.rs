//! The figures of one step of time, as the charts show them and the state file keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::service::metrics::sink_totals::Counts;

/// How many sinks a frame has at most. It bounds memory and the state file; further sinks have no charts.
const SINKS_MAX: usize = 32;

/// What the state file showed at the end of a step.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Levels {
    /// The age of the oldest event that some sink lacks, in seconds.
    pub oldest_s: f32,
    /// How many sources lose events, or soon will.
    pub at_risk: f32,
    /// How many events the sinks have rejected so far.
    pub rejected: u64,
    /// How many events each sink lacks.
    pub pending: BTreeMap<Arc<str>, u64>,
}

/// The figures of all sources and sinks in one step. A figure that is not known is `None`.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Its end, in Unix seconds.
    #[serde(rename = "t")]
    pub end_s: i64,
    /// Its length in seconds.
    #[serde(rename = "d")]
    pub length_s: f32,
    /// Events read per second.
    #[serde(rename = "r")]
    pub received: f32,
    /// See [`Levels::oldest_s`].
    #[serde(rename = "o")]
    pub oldest_s: Option<f32>,
    /// See [`Levels::at_risk`].
    #[serde(rename = "k")]
    pub at_risk: Option<f32>,
    /// How many events the sinks have rejected.
    #[serde(rename = "x")]
    pub rejected: Option<f32>,
    /// The sinks by name.
    #[serde(rename = "s")]
    pub sinks: BTreeMap<Arc<str>, SinkFrame>,
}

/// One sink in one step.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct SinkFrame(
    /// Delivered events per second.
    pub f32,
    /// Half of the deliveries took at most so many seconds; `None` if there were none.
    pub Option<f32>,
    /// 99 of 100 deliveries took at most so many seconds.
    pub Option<f32>,
);

impl Frame {
    /// The step from `before` to `now`, which took `length_s` and ended at `end_s`.
    pub(crate) fn between(before: &Counts, now: &Counts, end_s: i64, length_s: f64) -> Self {
        let per_second = |count: u64| rounded(ratio(count, length_s));
        let sinks = now.sinks.iter().take(SINKS_MAX).map(|(name, counts)| {
            let step = before.sinks.get(name).map_or_else(|| counts.clone(), |then| counts.since(then));
            let quantile = |share| step.quantile_s(share).map(rounded);
            (Arc::clone(name), SinkFrame(per_second(step.delivered), quantile(0.5), quantile(0.99)))
        });
        Self {
            end_s,
            length_s: rounded(length_s),
            received: per_second(now.received.saturating_sub(before.received)),
            sinks: sinks.collect(),
            ..Self::default()
        }
    }

    /// Adds the levels at its end, and the events rejected since `before`.
    pub(crate) fn at(mut self, levels: Option<&Levels>, before: Option<&Levels>) -> Self {
        if let Some(levels) = levels {
            self.oldest_s = Some(rounded(f64::from(levels.oldest_s)));
            self.at_risk = Some(levels.at_risk);
            let rejected = before.map_or(0, |before| levels.rejected.saturating_sub(before.rejected));
            self.rejected = Some(rounded(ratio(rejected, 1.0)));
        }
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "it becomes a line of some pixels")]
fn ratio(count: u64, length_s: f64) -> f64 {
    count as f64 / length_s.max(0.001)
}

/// Four digits, so that the state file needs little room.
#[expect(clippy::cast_possible_truncation, reason = "it becomes a line of some pixels")]
fn rounded(value: f64) -> f32 {
    format!("{value:.3e}").parse().unwrap_or(value as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::metrics::registry::Metrics;

    #[test]
    fn a_rate_is_of_the_time_that_has_passed() {
        let metrics = Metrics::default();
        drop(metrics.lane("support", "crm"));
        let before = metrics.counts();
        let mut now = before.clone();
        now.received = 300;
        let frame = Frame::between(&before, &now, 60, 60.0);
        assert!((frame.received - 5.0).abs() < 0.01, "{frame:?}");
        // A late step is longer, and its rate is no higher.
        now.received = 600;
        let late = Frame::between(&before, &now, 120, 120.0);
        assert!((late.received - 5.0).abs() < 0.01, "{late:?}");
        assert_eq!(late.sinks["crm"], SinkFrame(0.0, None, None));
    }

    #[test]
    fn a_frame_of_the_state_file_is_short_and_comes_back_as_it_was() {
        let sinks = [("crm".into(), SinkFrame(rounded(1.0 / 3.0), Some(0.21), None))].into();
        let frame =
            Frame { end_s: 1_795_251_600, length_s: 360.0, received: 0.25, sinks, ..Frame::default() };
        let frame = frame.at(Some(&Levels { oldest_s: 2.5, rejected: 3, ..Levels::default() }), None);
        let text = serde_json::to_string(&frame).unwrap();
        assert!(text.len() < 120, "{text}");
        assert_eq!(serde_json::from_str::<Frame>(&text).unwrap(), frame);
    }
}
