//! The credentials of a portal.

/// The credential of a request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Auth {
    /// An incoming webhook.
    Webhook {
        /// Its secret.
        code: String,
    },
    /// An access token of an application.
    App {
        /// The application that owns the token.
        client_id: String,
    },
}
