//! HTTP below `/rest/`, and where the portal listens.

pub mod forward;
pub mod request;
pub mod residence;
pub mod respond;
pub mod routes;
pub mod server;
pub mod state;
