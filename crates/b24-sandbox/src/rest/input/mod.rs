//! Parses a request: method, credential and parameters.

pub mod call;
pub mod form;
pub mod parameter;
pub mod target;
