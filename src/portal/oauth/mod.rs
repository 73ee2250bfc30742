//! The authorization server and the tokens of an application.

pub mod authorization;
pub mod session;
pub mod tokens;
pub mod vendor;
