//! What all requests share: the portal behind its lock, the address, the stop signal.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::portal::Portal;

/// One running sandbox, as its requests see it.
#[derive(Debug)]
pub struct Shared {
    portal: Mutex<Portal>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Told when the sandbox is to end.
    pub stop: CancellationToken,
}

impl Shared {
    /// A sandbox that listens at `address`.
    pub fn new(portal: Portal, address: SocketAddr, stop: CancellationToken) -> Self {
        Self { portal: Mutex::new(portal), address, stop }
    }

    /// The portal, for as long as the guard lives; nobody awaits while holding it.
    pub fn portal(&self) -> MutexGuard<'_, Portal> {
        self.portal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The portal's address, which is the authorization server's as well: `http://HOST:PORT/`.
    pub fn base_url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Where methods are called with a token: `http://HOST:PORT/rest/`.
    pub fn rest_url(&self) -> String {
        self.base_url() + "rest/"
    }

    /// The webhook of `user` with `code`.
    pub fn webhook_url(&self, user: u64, code: &str) -> String {
        format!("http://{}/rest/{user}/{code}/", self.address)
    }
}
