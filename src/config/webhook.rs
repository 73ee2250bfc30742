//! The keys of a sink of type `webhook`, from the tree.

use std::time::Duration;

use super::leaf;
use super::letter::{self, LetterConfig};
use super::outcomes::{self, OutcomesConfig};
use super::secret::{self, SecretFiles};
use super::secret_url::SecretUrl;
use super::table::Table;

/// The keys that only a webhook has.
pub(super) const KEYS: &[&str] = &[
    "url",
    "url_file",
    "timeout",
    "allow_http",
    "format",
    "secrets",
    "secrets_file",
    "ordering",
    "concurrency",
    "batch",
    "breaker",
    "rate",
    "outcomes",
];

const TIMEOUT: Duration = Duration::from_secs(30);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// A `webhook` sink's own keys.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Where events are posted.
    pub url: SecretUrl,
    /// The longest an attempt may take.
    pub timeout: Duration,
    /// What is posted, and how it is signed.
    pub letter: LetterConfig,
    /// What its statuses mean where they mean something else.
    pub outcomes: OutcomesConfig,
}

/// Reads them; what is wrong is noted.
pub(super) fn read(table: &mut Table<'_>, files: &SecretFiles<'_>) -> Option<WebhookConfig> {
    let url = secret::take::<SecretUrl>(table, ["url", "url_file"], files);
    let is_http_fine = table.take("allow_http", leaf::boolean).unwrap_or(false);
    if let Some(url) = url.as_ref().filter(|_| !is_http_fine) {
        secret::refuse_exposed(table, url.key, &url.value);
    }
    let timeout = table.take("timeout", leaf::duration(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)).unwrap_or(TIMEOUT);
    let letter = letter::read(table, files);
    let outcomes = table.table("outcomes", outcomes::read);
    Some(WebhookConfig { url: url?.value, timeout, letter, outcomes })
}
