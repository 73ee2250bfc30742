//! The storage for values that the portal module needs after a restart.

use async_trait::async_trait;

/// A durable key-value store of texts. The relay implements it with the state file. It is a trait because
/// modules below the relay do not depend on each other.
#[async_trait]
pub trait KeyValue: Send + Sync {
    /// The value stored under `key`, by any process.
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError>;

    /// Stores `value` under `key`. It is on disk when this returns.
    async fn put(&self, key: &str, value: &str) -> Result<(), KeyValueError>;
}

/// Why a value cannot be read or written, in the words of the storage.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyValueError(pub String);

/// A store for commands that work without a state file: it stores nothing.
pub struct NoKeyValue;

#[async_trait]
impl KeyValue for NoKeyValue {
    async fn get(&self, _key: &str) -> Result<Option<String>, KeyValueError> {
        Ok(None)
    }

    async fn put(&self, _key: &str, _value: &str) -> Result<(), KeyValueError> {
        Ok(())
    }
}
