//! The key-value store of the portal's client, in the state file.

use async_trait::async_trait;
use b24_client::{KeyValue, KeyValueError};

use crate::store::Store;

/// Reads and writes the values in the state file.
pub struct StoreKeyValue(pub Store);

#[async_trait]
impl KeyValue for StoreKeyValue {
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError> {
        self.0.value(key).await.map_err(|error| KeyValueError(error.to_string()))
    }

    async fn put(&self, key: &str, value: &str) -> Result<(), KeyValueError> {
        self.0.set_value(key, value).await.map_err(|error| KeyValueError(error.to_string()))
    }
}
