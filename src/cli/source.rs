//! The source that a command was told to work on.

use anyhow::Context as _;

use super::exit::UsageError;
use crate::config::{Config, SourceConfig};
use crate::portal::Caller;

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

/// Calls the portal with the source's credential.
pub fn caller(source: &SourceConfig) -> anyhow::Result<Caller> {
    Caller::try_new(source).map_err(anyhow::Error::msg).with_context(|| format!("sources.{}", source.name))
}
