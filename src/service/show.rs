//! Runs everything that shows the state: the server, the charts, the service manager and the hourly log line.

use crate::service::http::routes;
use crate::service::signals::notify::Notifier;
use crate::service::signals::summary;
use crate::service::view::{Telemetry, View};

impl View {
    /// Serves HTTP and notifies the service manager. Never returns.
    pub async fn show(&self) {
        let Telemetry { metrics, listener, .. } = &self.telemetry;
        tokio::join!(
            listener.serve(|access| routes::router(self.clone(), access)),
            self.history.record(metrics),
            Notifier.run(self),
            summary::run(self)
        );
    }
}
