//! A request as the portal reads it: method, credential and parameters.

pub mod call;
pub mod form;
pub mod parameter;
pub mod target;
