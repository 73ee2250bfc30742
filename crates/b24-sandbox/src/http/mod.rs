//! HTTP below `/rest/`, and the addresses of the portal.

pub mod forward; // 302 from former addresses
pub mod request; // what faults may affect
pub mod residence; // the portal's addresses
pub mod respond; // with the fault script
pub mod routes; // from requests to calls
pub mod server; // listens
pub mod state; // shared by all requests
