//! The authorization server and the tokens of an application.

pub mod authorization; // the client of the authorization server
pub mod session; // one login, and its refresh one at a time
pub mod tokens; // a pair of tokens
pub mod vendor; // the domains of the vendor's cloud
