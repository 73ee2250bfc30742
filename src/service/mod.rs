//! What an operator's tools see: liveness, readiness, metrics, a status page, and systemd's view.
//!
//! The relay tells a [`Telemetry`] what happens; the rest of this room only looks. Nothing in here can change what
//! is delivered, and nothing shows a secret (G7).

mod http; // the server of `[http]`
mod metrics;
mod page; // the status page
mod show; // runs everything that shows the state
mod signals; // liveness, health, systemd
mod view; // what the relay reports, and how it is seen

pub use http::listener::{ListenError, Server};
pub use metrics::registry::{LaneMetrics, Metrics, SinkMetrics, SourceMetrics};
pub use page::recent::recent_events::RecentEvents;
pub use page::recent::recent_problems::RecentProblems;
pub use signals::active_config::ActiveConfig;
pub use signals::liveness::{Heartbeat, Liveness};
pub use signals::notify::Notifier;
pub use view::{Place, Telemetry, View};
