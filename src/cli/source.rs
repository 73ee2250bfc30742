//! The source that a command works on.

use std::sync::Arc;

use super::exit::{SetupError, UsageError};
use crate::config::{Config, SourceConfig};
use crate::portal::{Caller, Memory};
use crate::relay::{Callers, NoMemory, StoreMemory};
use crate::store::Store;

/// The source called `name`.
///
/// # Errors
/// A usage error that lists the configured sources.
pub fn find<'a>(config: &'a Config, name: &str) -> Result<&'a SourceConfig, UsageError> {
    config.sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        UsageError(format!("there is no source `{name}` in the configuration, only {}", names.join(", ")))
    })
}

/// The portal clients for `sources`, with or without a running daemon.
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

/// A portal client with the source's credential.
pub async fn caller(config: &Config, source: &SourceConfig) -> anyhow::Result<Caller> {
    Ok(callers(config, [source]).await?.of(source).map_err(SetupError)?)
}

/// Logins are stored in the state file. With webhooks the file only stores whether a portal has moved, which the portal
/// also reports. So for webhooks a missing or unreadable file is ignored.
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
