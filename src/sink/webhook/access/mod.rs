//! The `Authorization` of a request.

pub(crate) mod authorization; // static or by OAuth
pub(crate) mod credential; // the `Authorization` header
pub(crate) mod tokens; // of an authorization server
