//! Why no HTTP client can be built. Only the operator can correct that, so callers report it and do not retry.

/// A variable of the environment names an unusable proxy. The text quotes it, without a password, and has a hint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProxyError(pub(super) String);

/// Why no HTTP client can be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientBuildError {
    /// The environment names an unusable proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// TLS is needed and cannot be set up, with the cause.
    #[error("cannot set up TLS: {0}; are CA certificates installed (package ca-certificates)?")]
    Tls(String),
}
