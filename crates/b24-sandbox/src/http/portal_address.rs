//! The addresses of the portal.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;

/// The number of addresses that one sandbox may open.
const ADDRESSES_MAX: usize = 64;

/// The portal's current address, and how new addresses are opened.
#[derive(Debug)]
pub(crate) struct PortalAddress {
    first: SocketAddr,
    address: SocketAddr,
    opened: usize,
    listeners: UnboundedSender<TcpListener>,
}

impl PortalAddress {
    /// A portal at `address`. The receiver of `listeners` serves the later addresses.
    pub(crate) fn new(address: SocketAddr, listeners: UnboundedSender<TcpListener>) -> Self {
        Self { first: address, address, opened: 0, listeners }
    }

    /// The address at which calls are answered.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Moves back to the first address.
    pub(crate) fn go_home(&mut self) -> SocketAddr {
        self.address = self.first;
        self.address
    }

    /// Moves to the address of `listener`.
    ///
    /// # Errors
    /// After too many moves, or once the sandbox has stopped.
    pub(crate) fn go_to(&mut self, listener: TcpListener) -> io::Result<SocketAddr> {
        if self.opened >= ADDRESSES_MAX {
            return Err(io::Error::other("this portal has moved too often, start another sandbox"));
        }
        let address = listener.local_addr()?;
        self.listeners.send(listener).map_err(|_| io::Error::other("the sandbox is stopping"))?;
        (self.opened, self.address) = (self.opened + 1, address);
        Ok(address)
    }
}
