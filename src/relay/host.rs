//! What the engine finds around it: the configuration that it reads again, portals to poll, sinks to deliver
//! to. A trait, as the simulation puts a world of its own there.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::warn;

use crate::blocking;
use crate::config::{self, Config, ConfigError, Overrides, SinkConfig, SourceConfig};
use crate::event::Queue;
use crate::portal::{EventQueue, Upstream};
use crate::relay::portal_clients::Callers;
use crate::shutdown::Signals;
use crate::sink::{self, Sink};

/// See the top of this file.
#[async_trait]
pub trait Surroundings: Send + Sync {
    /// Reads the configuration as it is written now.
    ///
    /// # Errors
    /// All that is wrong with it.
    async fn load(&self) -> Result<Config, ConfigError>;

    /// What reads `queue` for `source`, which is one of those that `callers` were opened for.
    ///
    /// # Errors
    /// Says why it cannot be set up.
    fn upstream(
        &self,
        source: &SourceConfig,
        queue: Arc<Queue>,
        callers: &Callers,
    ) -> Result<Box<dyn Upstream>, String>;

    /// Makes the sink of `config`.
    ///
    /// # Errors
    /// Says why it cannot be set up.
    fn sink(&self, config: &SinkConfig, signals: &Signals) -> Result<Arc<dyn Sink>, String>;
}

/// The file and the network.
pub struct Real {
    /// What flags say of the configuration.
    pub overrides: Overrides,
}

#[async_trait]
impl Surroundings for Real {
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
        callers: &Callers,
    ) -> Result<Box<dyn Upstream>, String> {
        Ok(Box::new(EventQueue::new(callers.of(source)?, queue, source.kind.clone())))
    }

    fn sink(&self, config: &SinkConfig, signals: &Signals) -> Result<Arc<dyn Sink>, String> {
        sink::build(config, signals)
    }
}

/// Logs what the operator should change in a configuration that still works.
pub fn warn_of_notices(notices: &[String]) {
    for notice in notices {
        warn!(notice, "the configuration works, but should be changed");
    }
}
