//! `[sources.NAME]`, from the tree.

use std::time::Duration;

use super::secret::{self, SecretFiles};
use super::secret_url::WebhookUrl;
use super::table::Table;
use super::{AccessConfig, KindConfig, PollConfig, SourceConfig, leaf};

const IDLE: Duration = Duration::from_secs(5);
const IDLE_MAX: Duration = Duration::from_secs(30);
const BUSY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(30);
const LIMIT: u16 = 1000;

/// More rarely than that, and a busy queue would not be noticed in time.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// What a portal shared with others can be asked to bear when nothing is waiting.
const SHORTEST_IDLE: Duration = Duration::from_secs(1);
/// For the sandbox on this machine.
const SHORTEST_LOOPBACK_IDLE: Duration = Duration::from_millis(10);
/// The portal itself gives up after a minute (PORTAL.md 7).
const LONGEST_TIMEOUT: Duration = Duration::from_secs(65);

/// A source as far as it could be read.
pub(super) struct SourceDraft {
    pub(super) name: String,
    /// The key that gave the webhook's URL.
    pub(super) url_key: &'static str,
    pub(super) webhook_url: Option<WebhookUrl>,
    poll: PollConfig,
}

impl SourceDraft {
    /// The source, when nothing of it is missing.
    pub(super) fn complete(self) -> Option<SourceConfig> {
        let access = AccessConfig::Webhook(self.webhook_url?);
        Some(SourceConfig { name: self.name, kind: KindConfig::User, access, poll: self.poll })
    }
}

/// Reads one source; what is wrong is noted.
pub(super) fn read(name: &str, table: &mut Table<'_>, files: &SecretFiles<'_>) -> SourceDraft {
    let secret = secret::take(table, ["webhook_url", "webhook_url_file"], files, WebhookUrl::parse);
    let (url_key, webhook_url) =
        secret.map_or(("webhook_url", None), |secret| (secret.key, Some(secret.value)));
    secret::refuse_exposed(table, url_key, webhook_url.as_ref().map(WebhookUrl::url));
    let poll = table.table("poll", |table| read_poll(table, shortest_idle(webhook_url.as_ref())));
    SourceDraft { name: name.to_owned(), url_key, webhook_url, poll }
}

fn read_poll(table: &mut Table<'_>, shortest_idle: Duration) -> PollConfig {
    let idle = table.take("idle", leaf::duration(shortest_idle, LONGEST_PAUSE)).unwrap_or(IDLE);
    PollConfig {
        idle,
        idle_max: idle.max(IDLE_MAX),
        busy: table.take("busy", leaf::duration(Duration::ZERO, LONGEST_PAUSE)).unwrap_or(BUSY),
        limit: table.take("limit", leaf::integer(1..=LIMIT)).unwrap_or(LIMIT),
        timeout: table
            .take("timeout", leaf::duration(Duration::from_secs(1), LONGEST_TIMEOUT))
            .unwrap_or(TIMEOUT),
    }
}

/// Lenient when the URL is not known: it is reported itself, and may be a loopback one.
fn shortest_idle(webhook_url: Option<&WebhookUrl>) -> Duration {
    match webhook_url {
        Some(webhook_url) if !webhook_url.url().is_loopback() => SHORTEST_IDLE,
        _ => SHORTEST_LOOPBACK_IDLE,
    }
}
