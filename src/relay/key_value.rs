//! The state file behind what the portal room wants to know again after a restart.

use async_trait::async_trait;

use crate::portal::Memory;
use crate::store::Store;

/// Keeps and recalls in the state file.
pub struct StoreMemory(pub Store);

#[async_trait]
impl Memory for StoreMemory {
    async fn recall(&self, key: &str) -> Result<Option<String>, String> {
        self.0.recall(key).await.map_err(|error| error.to_string())
    }

    async fn keep(&self, key: &str, value: &str) -> Result<(), String> {
        self.0.keep(key, value).await.map_err(|error| error.to_string())
    }
}

/// For a command that works without a state file: it remembers nothing.
pub struct NoMemory;

#[async_trait]
impl Memory for NoMemory {
    async fn recall(&self, _key: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    async fn keep(&self, _key: &str, _value: &str) -> Result<(), String> {
        Ok(())
    }
}
