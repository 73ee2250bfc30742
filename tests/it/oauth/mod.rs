//! Sources that log in as an application.

pub(crate) mod agreement;
pub(crate) mod expiry;
pub(crate) mod grant;
pub(crate) mod login;
pub(crate) mod missing_login;
pub(crate) mod tokens;
