//! What the client must know about a portal, a login and a queue.

use crate::secret::secret_text::SecretText;
use crate::secret::secret_url::SecretUrl;

/// One portal. The default is a portal on a standard plan.
#[derive(Clone, PartialEq, Debug)]
pub struct PortalConfig {
    /// Its rate limit, if it has one.
    pub rate: Option<RateConfig>,
    /// The authority that is called instead.
    pub moved_to: Option<String>,
}

impl PortalConfig {
    /// A portal that has not moved.
    pub fn with_rate(rate: Option<RateConfig>) -> Self {
        Self { rate, moved_to: None }
    }
}

impl Default for PortalConfig {
    fn default() -> Self {
        Self::with_rate(Some(RateConfig::STANDARD))
    }
}

/// The rate limit of a portal for all clients behind one address together (PORTAL.md section 7): a leaky
/// bucket.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RateConfig {
    /// The number of requests that may be made at once.
    pub burst: f64,
    /// The number of requests per second over a longer time.
    pub per_second: f64,
}

impl RateConfig {
    /// Every cloud plan except the largest.
    pub const STANDARD: Self = Self { burst: 50.0, per_second: 2.0 };
    /// The largest cloud plan.
    pub const ENTERPRISE: Self = Self { burst: 250.0, per_second: 5.0 };
}

/// `[sources.NAME.oauth]`.
#[derive(Clone, PartialEq, Debug)]
pub struct OAuthConfig {
    /// The source that owns the login: this source, or the one that `oauth.grant` names.
    pub grant: String,
    /// `portal`: `https://HOST/`.
    pub portal: SecretUrl,
    /// `client_id` of the application.
    pub client_id: String,
    /// `client_secret` of the application, sent only to the authorization server.
    pub client_secret: SecretText,
    /// `server`: the authorization server, if the operator names one.
    pub server: Option<SecretUrl>,
}

/// `sources.NAME.kind`.
#[derive(Clone, PartialEq, Debug)]
pub enum QueueKind {
    /// `kind = "user"`: the queue of the user behind the credential.
    User,
    /// `kind = "bot"`: the queue of a bot.
    Bot(BotConfig),
}

impl QueueKind {
    /// True if it contains the events of the user behind the credential.
    pub fn reads_user(&self) -> bool {
        match self {
            Self::User => true,
            Self::Bot(bot) => bot.with_user_events,
        }
    }
}

/// The keys of a source of kind `bot`.
#[derive(Clone, PartialEq, Debug)]
pub struct BotConfig {
    /// `bot_id`; above 0.
    pub id: u64,
    /// `bot_token`: required with a webhook, unused with OAuth (PORTAL.md 3.1).
    pub token: Option<SecretText>,
    /// `with_user_events`: also read the queue of the user behind the credential.
    pub with_user_events: bool,
}
