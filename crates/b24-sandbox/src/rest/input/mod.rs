//! Parses a request: method, credential and parameters.

pub mod call; // credential, method, parameters
pub mod form; // decodes forms as PHP does
pub mod parameter; // one set from query and body
pub mod target; // a method or the token endpoint
