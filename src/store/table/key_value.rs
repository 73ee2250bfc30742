//! Small values by name: OAuth tokens, and notes about portals and sources.

use rusqlite::{OptionalExtension as _, params};

use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::wall_clock::now_ms;

impl Store {
    /// Stores `value` under `key`. Its meaning is up to the caller.
    pub async fn set_value(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.run(move |connection| {
            connection.execute(
                "INSERT INTO memory (key, value, kept_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET value = excluded.value, kept_ms = excluded.kept_ms",
                params![key, value, now_ms()],
            )
        })
        .await
        .map(|_| ())
    }

    /// Deletes the value of `key`. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be written.
    pub async fn remove_value(&self, key: &str) -> Result<bool, StoreError> {
        let key = key.to_owned();
        self.run(move |connection| connection.execute("DELETE FROM memory WHERE key = ?1", [key]))
            .await
            .map(|count| count > 0)
    }

    /// The value of `key`, which any process may have stored.
    pub async fn value(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.read(move |connection| {
            connection
                .query_row("SELECT value FROM memory WHERE key = ?1", [key], |row| row.get(0))
                .optional()
        })
        .await
    }
}
