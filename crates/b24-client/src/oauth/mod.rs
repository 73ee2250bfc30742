//! The authorization server and the tokens of an application.

pub(crate) mod authorization; // the client of the authorization server
pub(crate) mod session; // one login, and its refresh one at a time
pub(crate) mod tokens; // a pair of tokens
pub(crate) mod vendor; // the domains of the vendor's cloud
