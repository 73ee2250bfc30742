//! The source that a command was told to work on.

use std::sync::Arc;

use super::exit::{SetupError, UsageError};
use crate::config::{Config, SourceConfig};
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

/// What it takes to call the portals of `sources`, beside a running daemon or without one.
///
/// # Errors
/// When the state file that holds a login cannot be read, or TLS cannot be set up.
pub async fn callers<'a>(
    config: &Config,
    sources: impl IntoIterator<Item = &'a SourceConfig> + Clone,
) -> anyhow::Result<Callers> {
    let memory = memory(config, sources.clone())?;
    Ok(Callers::open(config, sources, &memory).await.map_err(SetupError)?)
}

/// Calls the portal with the source's credential.
///
/// # Errors
/// As [`callers`].
pub async fn caller(config: &Config, source: &SourceConfig) -> anyhow::Result<Caller> {
    Ok(callers(config, [source]).await?.of(source).map_err(SetupError)?)
}

/// A login is in the state file. With webhooks it only tells whether a portal has moved, which the portal
/// itself tells as well: then one that is not there or not ours is done without.
fn memory<'a>(
    config: &Config,
    sources: impl IntoIterator<Item = &'a SourceConfig>,
) -> anyhow::Result<Arc<dyn Memory>> {
    if sources.into_iter().any(|source| source.webhook().is_none()) {
        return Ok(Arc::new(StoreMemory(Store::open_beside(&config.state)?)));
    }
    Ok(match config.state.exists().then(|| Store::open_beside(&config.state)) {
        Some(Ok(store)) => Arc::new(StoreMemory(store)),
        Some(Err(_)) | None => Arc::new(NoMemory),
    })
}
