//! Parses a request: method, credential and parameters.

pub(crate) mod call; // credential, method, parameters
pub(crate) mod form; // decodes forms as PHP does
pub(crate) mod parameter; // one set from query and body
pub(crate) mod target; // a method or the token endpoint
