//! The key-value store of the portal's client, in the state file.

use async_trait::async_trait;

use crate::portal::Memory;
use crate::store::Store;

/// Reads and writes the values in the state file.
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

/// A store for commands that work without a state file: it stores nothing.
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
