//! Information for the operator's tools: liveness, readiness, metrics, a status page, and notifications to systemd.
//!
//! The relay reports to a [`Witness`]; the rest of this module only reads. Nothing here can change what is delivered,
//! and nothing shows a secret (G7).

mod access;
mod charts;
mod exposition;
mod figures;
mod flows;
mod glimpses;
mod guesses;
mod health;
mod history;
mod metrics;
mod notify;
mod page;
mod process;
mod roster;
mod server;
mod summary;
mod surface;
mod troubles;
mod under_way;
mod vitals;

pub use figures::{Figures, LaneFigures, SinkFigures, SourceFigures};
pub use glimpses::Glimpses;
pub use notify::Notifier;
pub use roster::Roster;
pub use server::Server;
pub use surface::Surface;
pub use troubles::Troubles;
pub use vitals::{Pulse, Vitals};

use crate::store::{Lookout, Store};
use history::History;

/// The handle through which the relay reports. Clones share everything.
#[derive(Clone, Default)]
pub struct Witness {
    /// Counters.
    pub figures: Figures,
    /// The liveness of its loops.
    pub vitals: Vitals,
    /// The active sources and sinks.
    pub roster: Roster,
    /// The latest events, if they are to be shown.
    pub glimpses: Glimpses,
    /// The HTTP listener.
    pub surface: Surface,
}

impl Witness {
    /// From now on `server` answers requests, or none does.
    pub fn show_through(&self, server: Option<Server>) {
        self.glimpses.show(server.as_ref().is_some_and(Server::shows_payloads));
        self.surface.exchange(server);
    }
}

/// Everything that can be shown. Clones share everything.
#[derive(Clone)]
pub struct View {
    witness: Witness,
    troubles: Troubles,
    history: History,
    lookout: Lookout,
}

impl View {
    /// The view of a relay that runs on `store`.
    pub fn new(store: &Store, witness: &Witness, troubles: &Troubles) -> Self {
        Self {
            witness: witness.clone(),
            troubles: troubles.clone(),
            history: History::default(),
            lookout: store.lookout(),
        }
    }

    /// Waits for the current reads of the state file. Later reads are refused.
    pub async fn close(&self) {
        self.lookout.close().await;
    }

    /// Serves HTTP and notifies the service manager. Never returns.
    pub async fn show(&self) {
        let Witness { figures, surface, .. } = &self.witness;
        tokio::join!(
            surface.serve(self),
            self.history.record(figures),
            Notifier.run(self),
            summary::run(self)
        );
    }
}
