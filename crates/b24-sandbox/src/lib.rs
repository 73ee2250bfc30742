//! An emulated Bitrix24 portal in this process: event queues, REST methods, OAuth, limits and faults.
//!
//! Tests and demos use it in place of a real portal. It serves HTTP on a loopback port, responds like a
//! portal, and fails on demand through its control API (described by `GET /sandbox`).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use b24_sandbox::{Sandbox, SandboxConfig, SeedRequest};
//!
//! let sandbox = Sandbox::start(SandboxConfig::default()).await?;
//! // Three events for user 1; `force` because the user has not subscribed to them yet.
//! let request = SeedRequest { user: 1, count: Some(3), force: true, ..SeedRequest::default() };
//! let recorded = sandbox.record(&request).expect("user 1 exists");
//! assert_eq!(recorded.count, 3);
//! // The program under test polls this address.
//! let poll = format!("{}im.v2.Event.get", sandbox.webhook_url(1));
//! assert!(poll.starts_with(&sandbox.base_url()));
//! sandbox.stop().await;
//! # Ok(()) }
//! ```

mod control; // the control API
mod faults; // scripted failures
mod http; // the server and its addresses
mod oauth; // the authorization server and its pages
mod queue; // the event queues; pure
mod rest; // parses requests and executes calls
mod state; // accounts, applications, tokens, clock, counters
mod traffic; // people, chats and the events they cause
mod wire; // responses as bytes

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use crate::queue::owner::ControlError;
pub use crate::queue::seed::{Recorded, SeedRequest};
pub use crate::state::config::SandboxConfig;
pub use crate::state::counters::{QueueStats, Stats};

use crate::http::portal_address::PortalAddress;
use crate::http::server::serve_all;
use crate::http::state::AppState;
use crate::state::apps::FIRST_CLIENT_ID;
use crate::state::portal::Portal;
use crate::traffic::people::Person;

/// How long [`Sandbox::stop`] waits for open connections.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A running portal. It ends with [`Sandbox::stop`] or when dropped.
#[derive(Debug)]
pub struct Sandbox {
    app_state: Arc<AppState>,
    tasks: Vec<JoinHandle<()>>,
    guard: DropGuard,
}

impl Sandbox {
    /// Starts a portal on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn start(config: SandboxConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let stop = CancellationToken::new();
        let mut portal = Portal::new(&config);
        record_backlog(&mut portal, config.backlog);
        let (moves, later) = mpsc::unbounded_channel();
        let portal_address = PortalAddress::new(listener.local_addr()?, moves);
        let app_state = Arc::new(AppState::new(portal, portal_address, stop.clone()));
        let tasks = vec![
            tokio::spawn(serve_all(listener, later, Arc::clone(&app_state))),
            tokio::spawn(traffic::background::chat(Arc::clone(&app_state))),
        ];
        Ok(Self { app_state, tasks, guard: stop.drop_guard() })
    }

    /// The first address, even after a move.
    pub fn address(&self) -> SocketAddr {
        self.app_state.address
    }

    /// The users with webhooks, in ascending order.
    pub fn user_ids(&self) -> Vec<u64> {
        self.app_state.portal().accounts.keys().copied().collect()
    }

    /// The name of `user`.
    pub fn user_name(&self, user: u64) -> String {
        Person::of(user).name()
    }

    /// The webhook of `user` at the portal's current address; on a real portal, it is a secret. If there is
    /// no such user, the webhook is invalid.
    pub fn webhook_url(&self, user: u64) -> String {
        let portal = self.app_state.portal();
        let code = portal.accounts.get(&user).map_or("", |account| &account.code);
        self.app_state.webhook_url(user, code)
    }

    /// The client id of the default application.
    pub fn client_id(&self) -> String {
        FIRST_CLIENT_ID.into()
    }

    /// The secret of that application.
    pub fn client_secret(&self) -> String {
        let portal = self.app_state.portal();
        portal.apps.get(FIRST_CLIENT_ID).map_or_else(String::new, |app| app.client_secret.clone())
    }

    /// The address of portal and authorization server, `http://HOST:PORT/`.
    pub fn base_url(&self) -> String {
        self.app_state.base_url()
    }

    /// Records events, like `POST /sandbox/events`.
    ///
    /// # Errors
    ///
    /// If the user is unknown or a value is out of range.
    pub fn record(&self, request: &SeedRequest) -> Result<Recorded, ControlError> {
        self.app_state.portal().record(request)
    }

    /// Sets the number of events per second across the whole portal.
    pub fn set_rate(&self, rate: f64) {
        self.app_state.portal().switches.rate = rate;
    }

    /// Cuts the portal off: from now on every connection is closed without an answer.
    pub fn cut(&self) {
        self.app_state.portal().switches.cut = true;
    }

    /// Connects the portal again.
    pub fn reconnect(&self) {
        self.app_state.portal().switches.cut = false;
    }

    /// The counts so far, as in `GET /sandbox/stats`.
    pub fn stats(&self) -> Stats {
        self.app_state.portal().stats()
    }

    /// Every id ever visible to `user`, in ascending order, as in `GET /sandbox/ledger`.
    pub fn ledger(&self, user: u64) -> Vec<u64> {
        self.app_state.portal().accounts.get(&user).map_or_else(Vec::new, |account| account.queue.ledger())
    }

    /// Stops listening and waits a short time for the open connections.
    pub async fn stop(self) {
        let Self { tasks, guard, .. } = self;
        drop(guard);
        for task in tasks {
            // A connection that is still open, or a task that panicked, does not matter here.
            let _ended = timeout(STOP_GRACE, task).await;
        }
    }
}

fn record_backlog(portal: &mut Portal, count: u32) {
    let users: Vec<u64> = portal.accounts.keys().copied().collect();
    for user in users {
        let request = SeedRequest { user, count: Some(count), force: true, ..SeedRequest::default() };
        if let Err(error) = portal.record(&request) {
            tracing::warn!(user, %error, "the sandbox starts without this backlog");
        }
    }
}
