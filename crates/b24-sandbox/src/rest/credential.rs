//! The credentials that a portal knows.

/// What a request authorises itself with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Auth {
    /// An incoming webhook.
    Webhook {
        /// Its secret.
        code: String,
    },
    /// An access token of an application.
    App {
        /// Whose token it is.
        client_id: String,
    },
}
