//! What an operator's tools see: liveness, readiness, metrics, a status page, and systemd's view.
//!
//! The relay tells a [`Witness`] what happens; the rest of this room only looks. Nothing in here can change what
//! is delivered, and nothing shows a secret (G7).

mod http; // the server of `[http]`
mod metrics;
mod page; // the status page
mod show; // runs everything that shows the state
mod signals; // liveness, health, systemd
mod view; // what the relay reports, and how it is seen

pub use http::listener::Server;
pub use http::surface::Surface;
pub use metrics::figures::{Figures, LaneFigures, SinkFigures, SourceFigures};
pub use page::glimpses::Glimpses;
pub use page::troubles::Troubles;
pub use signals::notify::Notifier;
pub use signals::roster::Roster;
pub use signals::vitals::{Pulse, Vitals};
pub use view::{View, Witness};
