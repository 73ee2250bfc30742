//! The check of `[http]`, made without any network access.

use super::finding::Finding;
use crate::config::HttpConfig;

const TLS: &str = "tls";

/// Warns when the listener is reachable from other machines, because it speaks plain HTTP.
pub(super) fn tls(http: &HttpConfig) -> Option<Finding> {
    let exposed = Finding::warn(
        TLS,
        "`http.listen` speaks plain http to other machines",
        "put a proxy with TLS before it, or listen on 127.0.0.1",
    );
    http.is_exposed().then_some(exposed)
}
