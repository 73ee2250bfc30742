//! Why there is no answer, and whether that may pass: the words are those of every peer.

use crate::http_client::{self, Failure, Peer};

/// The reason why there is no response. Callers match on it to decide about a retry.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// The error may be temporary.
    Passing(String),
    /// The error is permanent.
    Lasting(String),
}

/// Describes why the host `authority` did not respond.
pub(crate) fn trouble(authority: &str, failure: Failure) -> Trouble {
    match failure {
        Failure::NotPublic => Trouble::Lasting(format!(
            "{authority} is not on the public internet, and `private_networks = \"deny\"` leads nowhere else: \
             correct the address, or allow private networks"
        )),
        Failure::Proxy(reason) => Trouble::Lasting(reason),
        Failure::StrayBytes(_) | Failure::Failed(..) => {
            let words = http_client::trouble(failure, Peer::Receiver).sentence();
            Trouble::Passing(format!("{authority}: {words}"))
        }
    }
}
