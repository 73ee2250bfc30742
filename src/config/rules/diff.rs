//! Lists the keys in which two configurations differ. It shows names only, because a value may be a secret.
//!
//! Every key is named here exactly once. A new key does not compile until it is listed.

use crate::config::{
    AccessConfig, BotConfig, Config, DeliveryConfig, FileConfig, LogConfig, OAuthConfig, QueueKind,
    SinkConfig, SourceConfig, StdoutConfig, TargetConfig, ThroughputConfig, WebhookConfig,
};

type Keys = Vec<&'static str>;

impl Config {
    /// The keys in which `other` differs, except those of sources and sinks.
    pub fn difference(&self, other: &Self) -> Keys {
        let Self { state, shutdown_grace, log, delivery, http, sources: _, sinks: _, portals } = self;
        let LogConfig { format, level } = log;
        let DeliveryConfig { hold, gap_events, memory_max, journal, dead_letters, retention } = delivery;
        differing([
            ("state", *state != other.state),
            ("shutdown_grace", *shutdown_grace != other.shutdown_grace),
            ("log.format", *format != other.log.format),
            ("log.level", *level != other.log.level),
            ("delivery.hold", *hold != other.delivery.hold),
            ("delivery.gap_events", *gap_events != other.delivery.gap_events),
            ("memory.max", *memory_max != other.delivery.memory_max),
            ("journal", *journal != other.delivery.journal),
            ("dead_letters", *dead_letters != other.delivery.dead_letters),
            ("retention", *retention != other.delivery.retention),
            ("http", *http != other.http),
            ("portals", *portals != other.portals),
        ])
    }
}

impl SourceConfig {
    /// The keys in which `other`, a source with the same name, differs.
    pub fn difference(&self, other: &Self) -> Keys {
        let Self { name: _, kind, access, poll, confirm_lag } = self;
        let mut keys = of_kind(kind, &other.kind);
        keys.extend(of_access(access, &other.access));
        keys.extend(differing([
            ("poll", *poll != other.poll),
            ("confirm_lag", *confirm_lag != other.confirm_lag),
        ]));
        keys
    }
}

impl SinkConfig {
    /// The keys in which `other`, a sink with the same name, differs.
    pub fn difference(&self, other: &Self) -> Keys {
        let Self { name: _, target, sources, events, retry, max_event_age, start, flow } = self;
        let ThroughputConfig {
            ordering,
            concurrency,
            batch,
            breaker_failures,
            hold_after_rejections,
            interval,
        } = flow;
        let mut keys = of_target(target, &other.target);
        keys.extend(differing([
            ("sources", *sources != other.sources),
            ("events", *events != other.events),
            ("retry", *retry != other.retry),
            ("max_event_age", *max_event_age != other.max_event_age),
            ("start", *start != other.start),
            ("ordering", *ordering != other.flow.ordering),
            ("concurrency", *concurrency != other.flow.concurrency),
            ("batch", *batch != other.flow.batch),
            ("breaker", *breaker_failures != other.flow.breaker_failures),
            ("hold_after_rejections", *hold_after_rejections != other.flow.hold_after_rejections),
            ("rate", *interval != other.flow.interval),
        ]));
        keys
    }

    /// True if `other` reaches the same destination in the same way, even if it takes different events.
    pub fn same_destination(&self, other: &Self) -> bool {
        self.target == other.target && self.retry == other.retry && self.flow == other.flow
    }

    /// True if `other` takes the same events from each source that both sinks take.
    pub fn same_subscription(&self, other: &Self) -> bool {
        let of_any = |config: &Self| Self { sources: None, ..config.clone() };
        of_any(self) == of_any(other)
    }
}

fn of_kind(kind: &QueueKind, other: &QueueKind) -> Keys {
    match (kind, other) {
        (QueueKind::User, QueueKind::User) => Vec::new(),
        (QueueKind::Bot(bot), QueueKind::Bot(other)) => {
            let BotConfig { id, token, with_user_events } = bot;
            differing([
                ("bot_id", *id != other.id),
                ("bot_token", *token != other.token),
                ("with_user_events", *with_user_events != other.with_user_events),
            ])
        }
        (QueueKind::User, QueueKind::Bot(_)) | (QueueKind::Bot(_), QueueKind::User) => vec!["kind"],
    }
}

fn of_access(access: &AccessConfig, other: &AccessConfig) -> Keys {
    match (access, other) {
        (AccessConfig::Webhook(webhook), AccessConfig::Webhook(other)) => {
            differing([("webhook_url", webhook != other)])
        }
        (AccessConfig::OAuth(oauth), AccessConfig::OAuth(other)) => {
            let OAuthConfig { grant, portal, client_id, client_secret, server } = oauth;
            differing([
                ("oauth.grant", *grant != other.grant),
                ("oauth.portal", *portal != other.portal),
                ("oauth.client_id", *client_id != other.client_id),
                ("oauth.client_secret", *client_secret != other.client_secret),
                ("oauth.server", *server != other.server),
            ])
        }
        (AccessConfig::Webhook(_), AccessConfig::OAuth(_))
        | (AccessConfig::OAuth(_), AccessConfig::Webhook(_)) => vec!["webhook_url", "oauth"],
    }
}

fn of_target(target: &TargetConfig, other: &TargetConfig) -> Keys {
    match (target, other) {
        (TargetConfig::Stdout(StdoutConfig { format }), TargetConfig::Stdout(other)) => {
            differing([("format", *format != other.format)])
        }
        (TargetConfig::File(file), TargetConfig::File(other)) => {
            let FileConfig { path, mode, rotate, compress } = file;
            differing([
                ("path", *path != other.path),
                ("mode", *mode != other.mode),
                ("rotate", *rotate != other.rotate),
                ("compress", *compress != other.compress),
            ])
        }
        (TargetConfig::Webhook(webhook), TargetConfig::Webhook(other)) => of_webhook(webhook, other),
        (TargetConfig::Stdout(_) | TargetConfig::File(_) | TargetConfig::Webhook(_), _) => vec!["type"],
    }
}

fn of_webhook(webhook: &WebhookConfig, other: &WebhookConfig) -> Keys {
    let WebhookConfig {
        url,
        timeout,
        payload,
        outcomes,
        tls,
        proxy,
        auth,
        headers,
        private_networks,
        compress,
    } = webhook;
    differing([
        ("url", *url != other.url),
        ("timeout", *timeout != other.timeout),
        ("format", payload.format != other.payload.format),
        ("secrets", payload.signing != other.payload.signing),
        ("outcomes", *outcomes != other.outcomes),
        ("tls", *tls != other.tls),
        ("proxy", *proxy != other.proxy),
        ("auth", *auth != other.auth),
        ("headers", *headers != other.headers),
        ("private_networks", *private_networks != other.private_networks),
        ("compress", *compress != other.compress),
    ])
}

fn differing<const N: usize>(keys: [(&'static str, bool); N]) -> Keys {
    keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}
