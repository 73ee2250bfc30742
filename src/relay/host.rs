//! Everything the engine gets from outside: the configuration that it reads again, portals to poll, sinks to deliver
//! to. It is a trait because the simulation provides its own.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::warn;

use crate::blocking;
use crate::config::{self, Config, ConfigError, Overrides, SinkConfig, SourceConfig};
use crate::event::Queue;
use crate::log_code;
use crate::relay::portal_clients::{NoClient, PortalClients};
use crate::relay::source::portal_queue::PortalQueue;
use crate::relay::source::upstream::Upstream;
use crate::shutdown::Signals;
use crate::sink::{self, Sink};

/// Everything the engine gets from outside.
#[async_trait]
pub trait Host: Send + Sync {
    /// Reads the configuration as it is written now.
    ///
    /// # Errors
    /// All problems found in it.
    async fn load(&self) -> Result<Config, ConfigError>;

    /// Creates the reader of `queue` for `source`, which must be one of the sources that `clients` were opened for.
    fn upstream(
        &self,
        source: &SourceConfig,
        queue: Arc<Queue>,
        clients: &PortalClients,
    ) -> Result<Box<dyn Upstream>, NoClient>;

    /// Builds the sink of `config`.
    fn sink(&self, config: &SinkConfig, signals: &Signals) -> Result<Arc<dyn Sink>, sink::BuildError>;
}

/// The real configuration file and the real network.
pub(super) struct RealHost {
    /// Settings from the command line, which override the configuration file.
    pub overrides: Overrides,
}

#[async_trait]
impl Host for RealHost {
    async fn load(&self) -> Result<Config, ConfigError> {
        let overrides = self.overrides.clone();
        let loaded = blocking::run(move || config::load(&overrides)).await?;
        warn_of_notices(&loaded.notices);
        Ok(loaded.config)
    }

    fn upstream(
        &self,
        source: &SourceConfig,
        queue: Arc<Queue>,
        clients: &PortalClients,
    ) -> Result<Box<dyn Upstream>, NoClient> {
        Ok(Box::new(PortalQueue::new(clients.of(source)?, queue, source.kind.clone())))
    }

    fn sink(&self, config: &SinkConfig, signals: &Signals) -> Result<Arc<dyn Sink>, sink::BuildError> {
        sink::build(config, signals)
    }
}

/// Logs the settings that still work but that the operator should change.
pub fn warn_of_notices(notices: &[String]) {
    for notice in notices {
        warn!(code = %log_code::CONFIG_NOTICE, notice, "the configuration works, but should be changed");
    }
}
