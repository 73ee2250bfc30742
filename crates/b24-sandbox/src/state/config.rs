//! How a sandbox is set up.

use std::net::{Ipv4Addr, SocketAddr};

/// The settings of a portal.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The address to listen on; port 0 selects a free one.
    pub listen: SocketAddr,
    /// The number of users with a webhook; at least 1.
    pub users: u32,
    /// The number of chats; at least 1.
    pub chats: u32,
    /// Events per second across the whole portal, for subscribed users.
    pub rate: f64,
    /// The same seed gives the same people, codes, ids and texts.
    pub seed: u64,
    /// True if users are subscribed from the start.
    pub subscribed: bool,
    /// The number of events in each user's queue at the start, subscribed or not.
    pub backlog: u32,
    /// True if `unsubscribe` keeps the stored events, as documented (PORTAL.md 2.6).
    pub keep_on_unsubscribe: bool,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            users: 3,
            chats: 5,
            rate: 0.0,
            seed: 24,
            subscribed: false,
            backlog: 0,
            keep_on_unsubscribe: false,
        }
    }
}
