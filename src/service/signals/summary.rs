//! An hourly log line with the number of received, delivered and waiting events.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, info};

use crate::health::Health;
use crate::service::signals::health;
use crate::service::view::View;

/// The interval of the line.
const INTERVAL: Duration = Duration::from_secs(3600);

/// The counters in the state file.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Totals {
    received: u64,
    delivered: u64,
    rejected: u64,
}

impl Totals {
    fn of(health: &Health) -> Self {
        let lanes = || health.lanes.iter().map(|lane| &lane.report);
        Self {
            received: health.sources.iter().map(|source| source.report.next.saturating_sub(1)).sum(),
            delivered: lanes().map(|lane| lane.delivered).sum(),
            rejected: lanes().map(|lane| lane.buried).sum(),
        }
    }

    /// The increase since `before`. The counters of a removed source or sink are no longer included.
    fn since(self, before: Self) -> Self {
        Self {
            received: self.received.saturating_sub(before.received),
            delivered: self.delivered.saturating_sub(before.delivered),
            rejected: self.rejected.saturating_sub(before.rejected),
        }
    }
}

/// Logs the summaries. Never returns.
pub(crate) async fn run(view: &View) {
    let mut before = look(view).await.map(|health| Totals::of(&health)).unwrap_or_default();
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(health) = look(view).await else { continue };
        let now = Totals::of(&health);
        let Totals { received, delivered, rejected } = now.since(before);
        before = now;
        let waiting: u64 = health.lanes.iter().map(|lane| lane.report.pending).sum();
        let problems = health.problems().len();
        info!(received, delivered, rejected, waiting, problems, "in the last hour");
    }
}

async fn look(view: &View) -> Option<Health> {
    let health = health::health(view).await;
    health.map_err(|error| debug!(%error, "cannot read the state for the hourly summary")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_no_less_than_nothing() {
        let before = Totals { received: 10, delivered: 20, rejected: 3 };
        let now = Totals { received: 15, delivered: 7, rejected: 4 };
        assert_eq!(now.since(before), Totals { received: 5, delivered: 0, rejected: 1 });
    }
}
