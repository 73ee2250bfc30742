//! Environment variables that start with the relay's prefix but are not keys: those that Kubernetes sets for
//! a service called `b24relay`, and those with a missing or an extra `_`.

use crate::config::parse::variables::variable::PREFIX;

/// The top-level tables.
const TABLES: [&str; 7] = ["DEAD_LETTERS", "DELIVERY", "HTTP", "JOURNAL", "LOG", "MEMORY", "RETENTION"];

/// The keys of a source, with the separators of a variable. Names that the operator chooses are left out.
const SOURCE_KEYS: [&str; 30] = [
    "ALLOW_HTTP",
    "BOT_ID",
    "BOT_TOKEN",
    "BOT_TOKEN_FILE",
    "CONFIRM_LAG",
    "KIND",
    "OAUTH__CLIENT_ID",
    "OAUTH__CLIENT_SECRET",
    "OAUTH__CLIENT_SECRET_FILE",
    "OAUTH__GRANT",
    "OAUTH__PORTAL",
    "OAUTH__SERVER",
    "POLL__BUSY",
    "POLL__IDLE",
    "POLL__IDLE_MAX",
    "POLL__LIMIT",
    "POLL__TIMEOUT",
    "PROXY",
    "PROXY_FILE",
    "TLS__CA_FILE",
    "TLS__CLIENT_CERT_FILE",
    "TLS__CLIENT_KEY_FILE",
    "TLS__MIN_VERSION",
    "WEBHOOK_URL",
    "WEBHOOK_URL_FILE",
    "WITH_USER_EVENTS",
    // Common mistakes for keys of a source.
    "TOKEN",
    "TOKEN_FILE",
    "URL",
    "URL_FILE",
];

/// The keys of a sink.
const SINK_KEYS: [&str; 60] = [
    "ALLOW_HTTP",
    "AUTHORS",
    "AUTH__CLIENT_ID",
    "AUTH__CLIENT_SECRET",
    "AUTH__CLIENT_SECRET_FILE",
    "AUTH__PASSWORD",
    "AUTH__PASSWORD_FILE",
    "AUTH__SCOPE",
    "AUTH__TOKEN",
    "AUTH__TOKEN_FILE",
    "AUTH__TOKEN_URL",
    "AUTH__TYPE",
    "AUTH__USER",
    "BATCH__BYTES",
    "BATCH__EVENTS",
    "BATCH__WAIT",
    "BOTS",
    "BREAKER__FAILURES",
    "CHATS",
    "CHAT_ID",
    "COMPRESS",
    "CONCURRENCY",
    "CONTENT_TYPE",
    "EVENTS",
    "FILTER",
    "FORMAT",
    "HOLD_AFTER_REJECTIONS",
    "MAX_EVENT_AGE",
    "MENTIONS",
    "MODE",
    "ORDERING",
    "OWN",
    "PATH",
    "PRIVATE_NETWORKS",
    "PROXY",
    "PROXY_FILE",
    "RATE",
    "RETRY__GIVE_UP",
    "RETRY__MAX",
    "RETRY__MIN",
    "ROTATE__EVERY",
    "ROTATE__KEEP",
    "ROTATE__SIZE",
    "SECRETS",
    "SECRETS_FILE",
    "SOURCES",
    "START",
    "SYSTEM",
    "TEMPLATE",
    "TEMPLATE_FILE",
    "TIMEOUT",
    "TLS__CA_FILE",
    "TLS__CLIENT_CERT_FILE",
    "TLS__CLIENT_KEY_FILE",
    "TLS__MIN_VERSION",
    "TYPE",
    "URL",
    "URL_FILE",
    // Common mistakes for keys of a sink.
    "WEBHOOK_URL",
    "WEBHOOK_URL_FILE",
];

/// True if Kubernetes sets `name` in every pod, because of a service whose name begins with `b24relay`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>). No
/// configuration key has such a name: a key below the top level has `__` in its variable, and Kubernetes
/// never writes that.
pub(crate) fn is_of_kubernetes(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("B24RELAY").filter(|_| !name.contains("__")) else { return false };
    let is_plain =
        rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_plain && (rest.ends_with("_SERVICE_HOST") || is_service_port(rest) || is_port(rest))
}

/// `_SERVICE_PORT`, perhaps followed by the name of a port.
fn is_service_port(rest: &str) -> bool {
    rest.ends_with("_SERVICE_PORT") || rest.contains("_SERVICE_PORT_")
}

/// `_PORT`, perhaps followed by number, protocol and a part of that address.
fn is_port(rest: &str) -> bool {
    let Some((_, behind)) = rest.rsplit_once("_PORT").filter(|_| !rest.ends_with("_PORT")) else {
        return rest.ends_with("_PORT");
    };
    let of = |behind: &str| {
        let mut parts = behind.trim_start_matches('_').split('_');
        let number = parts.next().unwrap_or_default();
        let protocol = parts.next().unwrap_or_default();
        let is_address = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_address
            && matches!(protocol, "TCP" | "UDP" | "SCTP")
            && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"))
            && parts.next().is_none()
    };
    of(behind)
}

/// The correct spelling of `name` if it has a missing or an extra `_` between its parts.
pub(crate) fn respelled(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let written = upper.strip_prefix(PREFIX)?;
    let flat = flattened(written);
    let meant = in_table(&flat)
        .or_else(|| named(&flat, "SOURCES_", &SOURCE_KEYS))
        .or_else(|| named(&flat, "SINKS_", &SINK_KEYS))?;
    (meant != written).then(|| format!("{PREFIX}{meant}"))
}

/// Replaces each run of `_` with one, and removes leading ones.
fn flattened(name: &str) -> String {
    name.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

fn in_table(flat: &str) -> Option<String> {
    TABLES.iter().find_map(|table| Some(format!("{table}__{}", flat.strip_prefix(table)?.strip_prefix('_')?)))
}

/// Finds the longest of `keys` at the end of `flat`. The operator's name is between `kind` and the key.
fn named(flat: &str, kind: &str, keys: &[&str]) -> Option<String> {
    let rest = flat.strip_prefix(kind)?;
    let fitting = keys.iter().filter_map(|key| {
        let name = rest.strip_suffix(&flattened(key))?.strip_suffix('_')?;
        (!name.is_empty()).then_some((name, key))
    });
    let (name, key) = fitting.min_by_key(|(name, _)| name.len())?;
    Some(format!("{kind}_{name}__{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_is_known_and_no_key_is_taken_for_it() {
        for name in [
            "B24RELAY_SERVICE_HOST",
            "B24RELAY_SERVICE_PORT",
            "B24RELAY_SERVICE_PORT_HTTP",
            "B24RELAY_SERVICE_PORT_HTTP_METRICS",
            "B24RELAY_PORT",
            "B24RELAY_PORT_8080_TCP",
            "B24RELAY_PORT_8080_TCP_PROTO",
            "B24RELAY_PORT_8080_TCP_PORT",
            "B24RELAY_PORT_8080_TCP_ADDR",
            "B24RELAY_PORT_53_UDP_ADDR",
            "B24RELAY_METRICS_SERVICE_HOST",
            "B24RELAY_METRICS_PORT_9090_TCP_ADDR",
        ] {
            assert!(is_of_kubernetes(name), "{name}");
        }
        for name in [
            "B24RELAY_STATE",
            "B24RELAY_SHUTDOWN_GRACE",
            "B24RELAY_SINKS__CRM_SERVICE_HOST__TYPE",
            "B24RELAY_SINKS__SERVICE_PORT__URL",
            "B24RELAY_SOURCES__A__OAUTH__PORT",
            "B24RELAY_HTTP__PORT",
            "B24RELAY_PORTALS_A_PLAN",
            "B24RELAY_SUPPORT",
            "B24RELAY_PORT_HTTP",
            "B24RELAY_PORT_8080",
            "B24RELAY_service_host",
            "OTHER_SERVICE_HOST",
        ] {
            assert!(!is_of_kubernetes(name), "{name}");
        }
    }

    #[test]
    fn a_wrong_number_of_underscores_is_put_right() {
        for (written, meant) in [
            ("SINKS_CRM_URL", "SINKS__CRM__URL"),
            ("SINKS_CRM__URL", "SINKS__CRM__URL"),
            ("SINKS__CRM_URL", "SINKS__CRM__URL"),
            ("_SINKS__CRM__URL", "SINKS__CRM__URL"),
            ("SINKS___CRM__URL", "SINKS__CRM__URL"),
            ("SINKS_MY_CRM_URL_FILE", "SINKS__MY_CRM__URL_FILE"),
            ("SINKS__CRM__AUTH_TOKEN", "SINKS__CRM__AUTH__TOKEN"),
            ("SINKS_CRM_AUTH_TOKEN_URL", "SINKS__CRM__AUTH__TOKEN_URL"),
            ("SOURCES_SUPPORT_WEBHOOK_URL", "SOURCES__SUPPORT__WEBHOOK_URL"),
            ("SOURCES__SUPPORT__POLL_IDLE_MAX", "SOURCES__SUPPORT__POLL__IDLE_MAX"),
            ("LOG_LEVEL", "LOG__LEVEL"),
            ("DEAD_LETTERS_MAX_AGE", "DEAD_LETTERS__MAX_AGE"),
            ("http_listen", "HTTP__LISTEN"),
        ] {
            let found = respelled(&format!("{PREFIX}{written}"));
            assert_eq!(found, Some(format!("{PREFIX}{meant}")), "{written}");
        }
        for right in [
            "STATE",
            "SINKS__CRM__URL",
            "LOG__LEVEL",
            "SOURCES__A__POLL__IDLE",
            "SINKS__CRM",
            "TOKEN",
            "SINKS_CRM",
        ] {
            assert_eq!(respelled(&format!("{PREFIX}{right}")), None, "{right}");
        }
    }

    /// Checks every key that is read, so that none is missing here.
    #[test]
    fn every_key_of_the_reference_is_put_right() {
        for key in crate::config::tests::reference::keys() {
            let is_named_by_hand = |part: &str| key.contains(part);
            if ["portals.", ".outcomes", ".headers"].iter().any(|part| is_named_by_hand(part))
                || !key.contains('.')
            {
                continue;
            }
            let right = format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"));
            assert_eq!(respelled(&right), None, "{right}");
            let wrong = format!("{PREFIX}{}", flattened(&key.to_uppercase().replace('.', "_")));
            assert_eq!(respelled(&wrong), Some(right), "{wrong}");
        }
    }
}
