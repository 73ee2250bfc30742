//! What an operator's tools see: liveness, readiness, metrics, a status page, and systemd's view.
//!
//! The relay tells a [`Witness`] what happens; the rest of this room only looks. Nothing in here can change what
//! is delivered, and nothing shows a secret (G7).

mod http;
mod metrics;
mod page;
mod signals;
pub use http::server::Server;
pub use http::surface::Surface;
pub use metrics::figures::{Figures, LaneFigures, SinkFigures, SourceFigures};
pub use page::glimpses::Glimpses;
use page::history::History;
pub use page::troubles::Troubles;
pub use signals::notify::Notifier;
pub use signals::roster::Roster;
pub use signals::vitals::{Pulse, Vitals};

use crate::service::signals::summary;
use crate::store::{Lookout, Store};

/// What the relay tells while it runs. Clones share everything.
#[derive(Clone, Default)]
pub struct Witness {
    /// Counts.
    pub figures: Figures,
    /// Whether its loops turn.
    pub vitals: Vitals,
    /// What is in force.
    pub roster: Roster,
    /// The latest events, where they are to be shown.
    pub glimpses: Glimpses,
    /// Where all of it can be looked at.
    pub surface: Surface,
}

impl Witness {
    /// From now on it is looked at through `server`, if at all.
    pub fn show_through(&self, server: Option<Server>) {
        self.glimpses.show(server.as_ref().is_some_and(Server::shows_payloads));
        self.surface.exchange(server);
    }
}

/// Everything there is to look at. Clones share everything.
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

    /// Waits for the looks at the state file that are under way. There are none after it.
    pub async fn close(&self) {
        self.lookout.close().await;
    }

    /// Shows it to whoever asks, and to the service manager, for ever.
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
