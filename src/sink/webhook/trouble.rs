//! Why there is no answer, and whether that may pass: the words are those of every peer.

use crate::http_client::{self, Failure, Peer};

/// Why there is no answer. Matched on by those who try again.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// It may pass by itself.
    Passing(String),
    /// It will not.
    Lasting(String),
}

/// Why the host called `authority` did not answer.
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
