//! [`Witness`] takes the reports of the relay; [`View`] is how they are seen.

use crate::service::http::listener::Server;
use crate::service::http::surface::Surface;
use crate::service::metrics::figures::Figures;
use crate::service::page::glimpses::Glimpses;
use crate::service::page::history::History;
use crate::service::page::troubles::Troubles;
use crate::service::signals::roster::Roster;
use crate::service::signals::vitals::Vitals;
use crate::store::{Lookout, Store};

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
    pub(in crate::service) witness: Witness,
    pub(in crate::service) troubles: Troubles,
    pub(in crate::service) history: History,
    pub(in crate::service) lookout: Lookout,
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
}
