//! [`Telemetry`] takes the reports of the relay; [`View`] is how they are seen.

use std::path::PathBuf;

use crate::service::http::http_listener::HttpListener;
use crate::service::http::listener::Server;
use crate::service::metrics::registry::Metrics;
use crate::service::page::chart::history::History;
use crate::service::page::recent::recent_events::RecentEvents;
use crate::service::page::recent::recent_problems::RecentProblems;
use crate::service::signals::active_config::ActiveConfig;
use crate::service::signals::liveness::Liveness;
use crate::store::{ReportReader, Store};

/// The handle through which the relay reports. Clones share everything.
#[derive(Clone, Default)]
pub struct Telemetry {
    /// Counters.
    pub metrics: Metrics,
    /// The liveness of its loops.
    pub liveness: Liveness,
    /// The active sources and sinks.
    pub active_config: ActiveConfig,
    /// The latest events, if they are to be shown.
    pub recent_events: RecentEvents,
    /// The HTTP listener.
    pub listener: HttpListener,
}

impl Telemetry {
    /// From now on `server` answers requests, or none does.
    pub fn show_through(&self, server: Option<Server>) {
        self.recent_events.show(server.as_ref().is_some_and(Server::shows_payloads));
        self.listener.exchange(server);
    }
}

/// Everything that can be shown. Clones share everything.
#[derive(Clone)]
pub struct View {
    pub(in crate::service) telemetry: Telemetry,
    pub(in crate::service) problems: RecentProblems,
    pub(in crate::service) history: History,
    pub(in crate::service) reader: ReportReader,
    pub(in crate::service) store: Store,
    pub(in crate::service) place: Place,
}

/// Which relay this is.
#[derive(Clone, Default, Debug)]
pub struct Place {
    /// The name of the machine and the process.
    pub instance: String,
    /// The configuration file, if there is one.
    pub configuration: Option<PathBuf>,
}

impl View {
    /// The view of a relay that runs on `store` at `place`.
    pub fn new(store: &Store, telemetry: &Telemetry, problems: &RecentProblems, place: Place) -> Self {
        Self {
            telemetry: telemetry.clone(),
            problems: problems.clone(),
            history: History::default(),
            reader: store.reader(),
            store: store.clone(),
            place,
        }
    }

    /// Saves the history, and waits for the current reads of the state file. Later reads are refused.
    pub async fn close(&self) {
        if self.telemetry.listener.is_open() {
            self.history.save(&self.store, &self.telemetry.metrics).await;
        }
        self.reader.close().await;
    }
}
