//! What can be said of `[http]` without asking anybody.

use super::finding::Finding;
use crate::config::HttpConfig;

const TLS: &str = "tls";

/// A listener that other machines reach speaks plain http to them.
pub fn tls(http: &HttpConfig) -> Option<Finding> {
    let exposed = Finding::warn(
        TLS,
        "`http.listen` speaks plain http to other machines",
        "put a proxy with TLS before it, or listen on 127.0.0.1",
    );
    http.is_exposed().then_some(exposed)
}
