//! The source that a command was told to work on.

use std::sync::Arc;

use super::exit::UsageError;
use crate::config::{AccessConfig, Config, SourceConfig};
use crate::portal::{Caller, Memory};
use crate::relay::{Callers, NoMemory, StoreMemory};
use crate::store::Store;

/// The source called `name`.
///
/// # Errors
/// One that names the sources there are.
pub fn find<'a>(config: &'a Config, name: &str) -> Result<&'a SourceConfig, UsageError> {
    config.sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        UsageError(format!("there is no source `{name}` in the configuration, only {}", names.join(", ")))
    })
}

/// Calls the portal with the source's credential, beside a running daemon or without one.
///
/// # Errors
/// When the state file that holds a login cannot be read, or TLS cannot be set up.
pub async fn caller(config: &Config, source: &SourceConfig) -> anyhow::Result<Caller> {
    caller_with(config, source, memory(config, source)?).await
}

/// As [`caller`], with a store that is open already.
///
/// # Errors
/// When TLS cannot be set up.
pub async fn caller_with(
    config: &Config,
    source: &SourceConfig,
    memory: Arc<dyn Memory>,
) -> anyhow::Result<Caller> {
    let callers = Callers::open(config, [source], &memory).await.map_err(anyhow::Error::msg)?;
    callers.of(source).map_err(anyhow::Error::msg)
}

/// A login is in the state file. With a webhook it only tells whether the portal has moved, which the
/// portal itself tells as well: then one that is not there or not ours is done without.
fn memory(config: &Config, source: &SourceConfig) -> anyhow::Result<Arc<dyn Memory>> {
    match &source.access {
        AccessConfig::OAuth(_) => Ok(Arc::new(StoreMemory(Store::open_beside(&config.state)?))),
        AccessConfig::Webhook(_) if config.state.exists() => Ok(match Store::open_beside(&config.state) {
            Ok(store) => Arc::new(StoreMemory(store)),
            Err(_) => Arc::new(NoMemory),
        }),
        AccessConfig::Webhook(_) => Ok(Arc::new(NoMemory)),
    }
}
