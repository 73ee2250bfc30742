//! What all requests share: the portal behind its lock, the address, the stop signal.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::http::residence::Residence;
use crate::state::portal::Portal;

/// One running sandbox, as its requests see it.
#[derive(Debug)]
pub struct Shared {
    portal: Mutex<Portal>,
    residence: Mutex<Residence>,
    /// Where it listens from the start.
    pub address: SocketAddr,
    /// Told when the sandbox is to end.
    pub stop: CancellationToken,
}

impl Shared {
    /// A sandbox with `portal` at `residence`.
    pub fn new(portal: Portal, residence: Residence, stop: CancellationToken) -> Self {
        let (address, residence) = (residence.address(), Mutex::new(residence));
        Self { portal: Mutex::new(portal), residence, address, stop }
    }

    /// Where the portal is now; nobody awaits while holding it.
    pub fn residence(&self) -> MutexGuard<'_, Residence> {
        self.residence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The portal, for as long as the guard lives; nobody awaits while holding it. What was late and is
    /// due by now can be seen.
    pub fn portal(&self) -> MutexGuard<'_, Portal> {
        let mut portal = self.portal.lock().unwrap_or_else(PoisonError::into_inner);
        portal.surface();
        portal
    }

    /// The sandbox's first address, which stays that of the authorization server: `http://HOST:PORT/`.
    pub fn base_url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Where methods are called with a token, where the portal is now: `http://HOST:PORT/rest/`.
    pub fn rest_url(&self) -> String {
        format!("http://{}/rest/", self.residence().address())
    }

    /// The webhook of `user` with `code`, where the portal is now.
    pub fn webhook_url(&self, user: u64, code: &str) -> String {
        format!("http://{}/rest/{user}/{code}/", self.residence().address())
    }
}
