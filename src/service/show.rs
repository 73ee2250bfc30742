//! Runs everything that shows the state: the server, the charts, the service manager and the hourly log line.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;

use crate::health::Health;
use crate::service::http::routes;
use crate::service::page::chart::frame::Levels;
use crate::service::signals::health;
use crate::service::signals::notify::Notifier;
use crate::service::signals::summary;
use crate::service::view::{Telemetry, View};

/// How often the charts take over what the state file shows.
const LEVELS_INTERVAL: Duration = Duration::from_secs(10);

impl View {
    /// Serves HTTP and notifies the service manager. Never returns.
    pub async fn show(&self) {
        let Telemetry { metrics, listener, .. } = &self.telemetry;
        tokio::join!(
            listener.serve(|access| routes::router(self.clone(), access)),
            self.history.record(metrics),
            self.watch_levels(),
            self.keep_history(),
            Notifier.run(self),
            summary::run(self)
        );
    }

    /// Records what the state file shows, while somebody can look at it.
    async fn watch_levels(&self) {
        loop {
            self.telemetry.listener.opened().await;
            match health::health(self).await {
                Ok(health) => self.history.note(levels(&health)),
                Err(error) => debug!(%error, "cannot read the state for the charts"),
            }
            sleep(LEVELS_INTERVAL).await;
        }
    }

    async fn keep_history(&self) {
        self.telemetry.listener.opened().await;
        self.history.keep(&self.store, &self.telemetry.metrics).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "it becomes a line of some pixels")]
fn levels(health: &Health) -> Levels {
    let lanes = || health.lanes.iter().map(|lane| &lane.report);
    let oldest_ms = lanes().filter_map(|lane| lane.oldest_pending_ms).min();
    let mut pending = BTreeMap::new();
    for lane in lanes() {
        *pending.entry(lane.sink.as_str().into()).or_default() += lane.pending;
    }
    Levels {
        oldest_s: oldest_ms
            .map_or(0.0, |oldest_ms| health.at_ms.saturating_sub(oldest_ms).max(0) as f32 / 1000.0),
        at_risk: health.at_risk() as f32,
        rejected: lanes().map(|lane| lane.buried).sum(),
        pending,
    }
}
