//! HTTP below `/rest/`, and the addresses of the portal.

pub mod forward;
pub mod request;
pub mod residence;
pub mod respond;
pub mod routes;
pub mod server;
pub mod state;
