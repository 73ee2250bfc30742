//! HTTP below `/rest/`, and the addresses of the portal.

pub(crate) mod forward; // 302 from former addresses
pub(crate) mod portal_address; // the portal's addresses
pub(crate) mod request; // what faults may affect
pub(crate) mod respond; // with the fault script
pub(crate) mod routes; // from requests to calls
pub(crate) mod server; // listens
pub(crate) mod state; // shared by all requests
