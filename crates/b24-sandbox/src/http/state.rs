//! The state that all requests share: the portal behind its lock, the address, the stop signal.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::http::portal_address::PortalAddress;
use crate::state::portal::Portal;

/// One running sandbox.
#[derive(Debug)]
pub(crate) struct AppState {
    portal: Mutex<Portal>,
    portal_address: Mutex<PortalAddress>,
    /// Its first address.
    pub address: SocketAddr,
    /// Cancelled when the sandbox must stop.
    pub stop: CancellationToken,
}

impl AppState {
    /// A sandbox with `portal` at `portal_address`.
    pub(crate) fn new(portal: Portal, portal_address: PortalAddress, stop: CancellationToken) -> Self {
        let (address, portal_address) = (portal_address.address(), Mutex::new(portal_address));
        Self { portal: Mutex::new(portal), portal_address, address, stop }
    }

    /// The portal's address. The guard must not be held across an await.
    pub(crate) fn portal_address(&self) -> MutexGuard<'_, PortalAddress> {
        self.portal_address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the portal. The guard must not be held across an await. Late rows that are due become visible
    /// first.
    pub(crate) fn portal(&self) -> MutexGuard<'_, Portal> {
        let mut portal = self.portal.lock().unwrap_or_else(PoisonError::into_inner);
        portal.surface();
        portal
    }

    /// The sandbox's first address, which always remains the address of the authorization server:
    /// `http://HOST:PORT/`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The URL for calls with a token, at the portal's current address: `http://HOST:PORT/rest/`.
    pub(crate) fn rest_url(&self) -> String {
        format!("http://{}/rest/", self.portal_address().address())
    }

    /// The webhook of `user` with `code`, at the portal's current address.
    pub(crate) fn webhook_url(&self, user: u64, code: &str) -> String {
        format!("http://{}/rest/{user}/{code}/", self.portal_address().address())
    }
}
