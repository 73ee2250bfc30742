//! The last hour of every lane in steps, for the charts of the page, and the current rate.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::service::metrics::registry::Metrics;

/// The length of a step.
pub(crate) const STEP: Duration = Duration::from_secs(30);

/// The number of steps in an hour.
pub(crate) const STEPS: usize = 120;

/// The time until a rate is known. After twice this time without an event, the rate is 0.
pub(crate) const RATE_KNOWN_AFTER: Duration = Duration::from_secs(5);

/// One lane in one step.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Step {
    /// Delivered events per second.
    pub per_second: f64,
    /// Their mean latency in seconds; `None` if there were none.
    pub latency_s: Option<f64>,
}

/// The last hour of every lane. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Past>>);

type Lane = (String, String);

/// The number of delivered events and the sum of their latencies in milliseconds, by lane.
type Totals = BTreeMap<Lane, (u64, u64)>;

#[derive(Default)]
struct Past {
    before: Totals,
    steps: BTreeMap<Lane, VecDeque<Step>>,
    /// The last two samples.
    samples: VecDeque<(Instant, Totals)>,
}

impl History {
    /// Takes a sample every [`RATE_KNOWN_AFTER`] and a step every [`STEP`]. Never returns.
    pub(crate) async fn record(&self, metrics: &Metrics) {
        let mut ticks = interval(RATE_KNOWN_AFTER);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut next_step = Instant::now();
        loop {
            let now = ticks.tick().await;
            self.sample(now, metrics.totals());
            if now >= next_step {
                next_step = now + STEP;
                self.step(metrics.totals());
            }
        }
    }

    /// The steps of the lane of `source` and `sink`, oldest first.
    pub(crate) fn of(&self, source: &str, sink: &str) -> Vec<Step> {
        let past = self.past();
        let steps = past.steps.get(&(source.to_owned(), sink.to_owned()));
        steps.map(|steps| steps.iter().copied().collect()).unwrap_or_default()
    }

    /// The events per second that this lane has delivered in the last seconds; `None` if not known yet.
    pub(crate) fn rate(&self, source: &str, sink: &str, metrics: &Metrics) -> Option<f64> {
        self.rate_of(&(source.to_owned(), sink.to_owned()), Instant::now(), &metrics.totals())
    }

    #[expect(clippy::cast_precision_loss, reason = "it is shown with two digits")]
    fn rate_of(&self, lane: &Lane, now: Instant, totals: &Totals) -> Option<f64> {
        let past = self.past();
        let (at, then) = past.samples.front()?;
        let elapsed = now.saturating_duration_since(*at);
        if elapsed < RATE_KNOWN_AFTER {
            return None;
        }
        let delivered = |totals: &Totals| totals.get(lane).map_or(0, |(delivered, _)| *delivered);
        Some(delivered(totals).saturating_sub(delivered(then)) as f64 / elapsed.as_secs_f64())
    }

    fn sample(&self, at: Instant, totals: Totals) {
        let samples = &mut self.past().samples;
        if samples.len() == 2 {
            samples.pop_front();
        }
        samples.push_back((at, totals));
    }

    fn step(&self, totals: Totals) {
        let mut past = self.past();
        let Past { before, steps, .. } = &mut *past;
        for (lane, now) in &totals {
            let then = before.get(lane).copied().unwrap_or_default();
            let steps = steps.entry(lane.clone()).or_default();
            steps.push_back(Step::between(then, *now));
            if steps.len() > STEPS {
                steps.pop_front();
            }
        }
        *before = totals;
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Step {
    #[expect(clippy::cast_precision_loss, reason = "it becomes a line of some pixels")]
    fn between((delivered_then, ms_then): (u64, u64), (delivered, ms): (u64, u64)) -> Self {
        let (count, ms) = (delivered.saturating_sub(delivered_then), ms.saturating_sub(ms_then));
        let latency_s = (count > 0).then(|| ms as f64 / count as f64 / 1000.0);
        Self { per_second: count as f64 / STEP.as_secs_f64(), latency_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_what_came_since_the_last_one_and_an_hour_is_kept() {
        let (history, lane) = (History::default(), ("support".to_owned(), "crm".to_owned()));
        for total in 1..=200u64 {
            history.step([(lane.clone(), (total * 60, total * 60 * 500))].into());
        }
        let steps = history.of("support", "crm");
        assert_eq!(steps, [Step { per_second: 2.0, latency_s: Some(0.5) }; STEPS]);
        history.step([(lane, (200 * 60, 200 * 60 * 500))].into());
        assert_eq!(history.of("support", "crm").last(), Some(&Step { per_second: 0.0, latency_s: None }));
        assert_eq!(history.of("support", "other"), []);
    }

    #[test]
    fn a_rate_falls_to_nothing_within_two_samples_of_the_last_event() {
        let (history, lane) = (History::default(), ("support".to_owned(), "crm".to_owned()));
        let totals = |delivered| Totals::from([(lane.clone(), (delivered, 0))]);
        let at = |samples| Instant::now() + samples * RATE_KNOWN_AFTER;
        let (start, first, second) = (at(0), at(1), at(2));
        let rate = |now, delivered| history.rate_of(&lane, now, &totals(delivered));
        assert_eq!(rate(start, 0), None);
        history.sample(start, totals(0));
        assert_eq!(rate(start, 0), None);
        history.sample(first, totals(50));
        assert!(rate(first, 50).is_some_and(|rate| (9.9..=10.1).contains(&rate)));
        history.sample(second, totals(50));
        assert_eq!(rate(second, 50), Some(0.0));
    }
}
