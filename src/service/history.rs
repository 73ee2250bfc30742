//! The last hour of every lane in steps, for the charts of the page.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::figures::Figures;

/// The length of a step.
pub const STEP: Duration = Duration::from_secs(30);

/// So many steps make an hour.
pub const STEPS: usize = 120;

/// One lane in one step.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Step {
    /// Delivered events a second.
    pub per_second: f64,
    /// Their mean latency in seconds; `None` when there were none.
    pub latency_s: Option<f64>,
}

/// See the top of this file. Clones share everything.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Past>>);

type Lane = (String, String);

#[derive(Default)]
struct Past {
    before: BTreeMap<Lane, (u64, u64)>,
    steps: BTreeMap<Lane, VecDeque<Step>>,
}

impl History {
    /// Takes a step every [`STEP`], for ever.
    pub async fn record(&self, figures: &Figures) {
        let mut ticks = interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.step(figures.totals());
        }
    }

    /// The steps of the lane of `source` and `sink`, oldest first.
    pub fn of(&self, source: &str, sink: &str) -> Vec<Step> {
        let past = self.past();
        let steps = past.steps.get(&(source.to_owned(), sink.to_owned()));
        steps.map(|steps| steps.iter().copied().collect()).unwrap_or_default()
    }

    fn step(&self, totals: BTreeMap<Lane, (u64, u64)>) {
        let mut past = self.past();
        let Past { before, steps } = &mut *past;
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
}
