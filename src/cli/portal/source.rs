//! The source that a command works on.

use std::sync::Arc;

use b24_client::NoKeyValue;
use b24_client::{KeyValue, PortalClient};

use crate::cli::exit::UsageError;
use crate::config::{Config, SourceConfig};
use crate::relay::{PortalClients, StoreKeyValue};
use crate::store::Store;

/// The source called `name`.
///
/// # Errors
/// A usage error that lists the configured sources.
pub(in crate::cli) fn find<'a>(config: &'a Config, name: &str) -> Result<&'a SourceConfig, UsageError> {
    config.sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        UsageError(format!("there is no source `{name}` in the configuration, only {}", names.join(", ")))
    })
}

/// The portal clients for `sources`, with or without a running daemon.
///
/// # Errors
/// When the state file that holds a login cannot be read, or TLS cannot be set up.
pub(in crate::cli) async fn clients<'a>(
    config: &Config,
    sources: impl IntoIterator<Item = &'a SourceConfig> + Clone,
) -> anyhow::Result<PortalClients> {
    let key_value = key_value(config, sources.clone())?;
    Ok(PortalClients::open(config, sources, &key_value).await?)
}

/// A portal client with the source's credential.
pub(in crate::cli) async fn client(config: &Config, source: &SourceConfig) -> anyhow::Result<PortalClient> {
    Ok(clients(config, [source]).await?.of(source)?)
}

/// Logins are stored in the state file. With webhooks the file only stores whether a portal has moved, which the portal
/// also reports. So for webhooks a missing or unreadable file is ignored.
fn key_value<'a>(
    config: &Config,
    sources: impl IntoIterator<Item = &'a SourceConfig>,
) -> anyhow::Result<Arc<dyn KeyValue>> {
    if sources.into_iter().any(|source| source.webhook().is_none()) {
        return Ok(Arc::new(StoreKeyValue(Store::open_beside(&config.state)?)));
    }
    Ok(match config.state.exists().then(|| Store::open_beside(&config.state)) {
        Some(Ok(store)) => Arc::new(StoreKeyValue(store)),
        Some(Err(_)) | None => Arc::new(NoKeyValue),
    })
}
