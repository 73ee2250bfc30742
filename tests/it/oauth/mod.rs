//! Sources that log in as an application.

pub mod agreement;
pub mod expiry;
pub mod grant;
pub mod latecomers;
pub mod login;
pub mod tokens;
