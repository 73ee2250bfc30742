//! What the portal room wants to know again after a restart, without knowing where it is kept.

use async_trait::async_trait;

/// A durable map of texts. The relay puts the state file behind it: rooms below the relay do not know
/// each other, which is why this is a trait.
#[async_trait]
pub trait Memory: Send + Sync {
    /// What was kept under `key`, by whichever process.
    ///
    /// # Errors
    /// Says why it cannot be read.
    async fn recall(&self, key: &str) -> Result<Option<String>, String>;

    /// Keeps `value` under `key`. It is on the disk when this returns.
    ///
    /// # Errors
    /// Says why it cannot be written.
    async fn keep(&self, key: &str, value: &str) -> Result<(), String>;
}
