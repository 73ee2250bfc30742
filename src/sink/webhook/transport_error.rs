//! Why there is no answer, and whether that may pass: the words are those of every peer.

use b24_client::http::{self, Failure, Peer};

/// The reason why there is no response. Callers match on it to decide about a retry.
#[derive(Clone, Debug)]
pub(crate) enum TransportError {
    /// The error may be temporary.
    Transient(String),
    /// The error is permanent.
    NeedsOperator(String),
}

/// Describes why the host `authority` did not respond.
pub(crate) fn trouble(authority: &str, failure: Failure) -> TransportError {
    match failure {
        Failure::NotPublic => TransportError::NeedsOperator(format!(
            "{authority} is not on the public internet, and `private_networks = \"deny\"` leads nowhere else: \
             correct the address, or allow private networks"
        )),
        Failure::Proxy(error) => TransportError::NeedsOperator(error.to_string()),
        Failure::StrayBytes(_) | Failure::Failed(..) => {
            let words = http::request_error(failure, Peer::Receiver).sentence();
            TransportError::Transient(format!("{authority}: {words}"))
        }
    }
}
