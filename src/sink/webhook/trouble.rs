//! Describes why there is no response, and whether the error is temporary. All peers share the same texts.

use crate::http_client::{self, Failure, Peer};

/// The reason why there is no response. Callers match on it to decide about a retry.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// The error may be temporary.
    Passing(String),
    /// The error is permanent.
    Lasting(String),
}

/// Describes why the host `authority` did not respond.
pub(super) fn trouble(authority: &str, failure: Failure) -> Trouble {
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
