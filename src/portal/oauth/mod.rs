//! The authorization server and the tokens of an application.

pub mod authorization;
pub mod grant;
pub mod tokens;
pub mod vendor;
