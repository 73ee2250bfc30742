//! HTTP below `/rest/`, and where the portal listens.

pub mod relocation;
pub mod request;
pub mod routes;
pub mod server;
pub mod state;
