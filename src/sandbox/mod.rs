//! An emulated Bitrix24 portal in this process: the upstream of the `sandbox` and `demo` commands, of
//! the tests and of the benchmarks. It answers as PORTAL.md has it, and fails when told to.
//!
//! It imports nothing of the crate: what it shares with the reader is the wire alone.
//!
//! In reading order:
//! - `row`, `queue`, `reading`, `counter`, `cleaner`, `tally`: events, how they are read, their ids, their
//!   end, and the counts. Pure.
//! - `writing`: how events get into the queues, and when they show.
//! - `clock`, `dice`: a time that can be set, and chance that repeats.
//! - `people`, `room`, `phrases`, `scene`, `chatter`, `live`: what happens at the company.
//! - `payload`, `bot_payload`, `php_json`: how that looks on the wire.
//! - `portal`, `order`, `reader`, `switches`, `bucket`, `operating`: the portal's state and all that
//!   changes it.
//! - `bots`, `bot_fields`, `bot_methods`: the bots of the portal, and what they can be asked.
//! - `apps`, `token`, `grant`: the applications of the portal, and what they are handed out.
//! - `call`, `caller`, `parameter`, `form`, `method`, `refusal`: what a request asks for, and the portal's
//!   answer.
//! - `preflight`, `batch`, `reference`: methods that tell about the credential, and many calls in one.
//! - `handlers`, `event_names`, `offline`, `selection`, `offline_call`: the methods `event.*`.
//! - `envelope`, `page`, `batch_page`: that answer as bytes.
//! - `errand`, `transport`, `moving`, `shared`: HTTP below `/rest/`, and where that is.
//! - `oauth`, `landing`: the authorization server, and its pages for people.
//! - `fault`, `breakage`, `rewrite`, `wire`: what goes wrong.
//! - `control`, `application_control`, `bot_control`, `handler_control`, `queue_control`: `/sandbox/...`,
//!   the API of tests and people.

mod application_control;
mod apps;
mod batch;
mod batch_page;
mod bot_control;
mod bot_fields;
mod bot_methods;
mod bot_payload;
mod bots;
mod breakage;
mod bucket;
mod call;
mod caller;
mod chatter;
mod cleaner;
mod clock;
mod control;
mod counter;
mod dice;
mod envelope;
mod errand;
mod event_names;
mod fault;
mod form;
mod grant;
mod handler_control;
mod handlers;
mod landing;
mod live;
mod method;
mod moving;
mod oauth;
mod offline;
mod offline_call;
mod operating;
mod order;
mod page;
mod parameter;
mod payload;
mod people;
mod php_json;
mod phrases;
mod portal;
mod preflight;
mod queue;
mod queue_control;
mod reader;
mod reading;
mod reference;
mod refusal;
mod rewrite;
mod room;
mod row;
mod scene;
mod selection;
mod shared;
mod switches;
mod tally;
mod token;
mod transport;
mod wire;
mod writing;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_bench;
#[cfg(test)]
mod tests_bots;
#[cfg(test)]
mod tests_event;
#[cfg(test)]
mod tests_limits;
#[cfg(test)]
mod tests_oauth;
#[cfg(test)]
mod tests_tail;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::any;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use order::{Order, OrderError, Recorded};
pub use tally::{QueueStats, Stats};

use moving::Doorplate;
use people::Person;
use portal::Portal;
use shared::Shared;

/// How long [`Sandbox::stop`] waits for connections that do not end by themselves.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What kind of portal to run.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many users own a webhook; at least 1.
    pub users: u32,
    /// How many chats there are; at least 1.
    pub chats: u32,
    /// Events per second over the whole portal, for users who are subscribed.
    pub rate: f64,
    /// The same seed gives the same people, codes, ids and texts.
    pub seed: u64,
    /// Users are subscribed from the start.
    pub subscribed: bool,
    /// Events each user finds at the start, subscribed or not.
    pub backlog: u32,
    /// `unsubscribe` keeps the stored events, as documented (PORTAL.md 2.6).
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

/// A running portal. It ends with [`Sandbox::stop`] or when dropped.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    guard: DropGuard,
}

impl Sandbox {
    /// Binds and serves on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn start(config: SandboxConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let stop = CancellationToken::new();
        let mut portal = Portal::new(&config);
        record_backlog(&mut portal, config.backlog);
        let shared = Arc::new(Shared::new(portal, listener.local_addr()?, stop.clone()));
        let tasks = vec![
            tokio::spawn(serve(listener, Arc::clone(&shared))),
            tokio::spawn(live::chat(Arc::clone(&shared))),
        ];
        Ok(Self { shared, tasks, guard: stop.drop_guard() })
    }

    /// Where it listens from the start, wherever it moves to.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The users who own webhooks, ascending.
    pub fn user_ids(&self) -> Vec<u64> {
        self.shared.portal().accounts.keys().copied().collect()
    }

    /// The name of `user`.
    pub fn user_name(&self, user: u64) -> String {
        Person::of(user).name()
    }

    /// The webhook of `user` where the portal is now, which is a secret in a real portal; one of nobody
    /// if there is no such user.
    pub fn webhook_url(&self, user: u64) -> String {
        let portal = self.shared.portal();
        let code = portal.accounts.get(&user).map_or("", |account| &account.code);
        self.shared.webhook_url(user, code)
    }

    /// The application that is there from the start.
    pub fn client_id(&self) -> String {
        apps::FIRST_CLIENT_ID.into()
    }

    /// The secret of that application.
    pub fn client_secret(&self) -> String {
        let portal = self.shared.portal();
        portal.apps.get(apps::FIRST_CLIENT_ID).map_or_else(String::new, |app| app.client_secret.clone())
    }

    /// The address of portal and authorization server, `http://HOST:PORT/`.
    pub fn base_url(&self) -> String {
        self.shared.base_url()
    }

    /// Records events, as `POST /sandbox/events` does.
    ///
    /// # Errors
    ///
    /// When the user is unknown or a value is out of bounds.
    pub fn record(&self, order: &Order) -> Result<Recorded, OrderError> {
        self.shared.portal().record(order)
    }

    /// The counts so far, as `GET /sandbox/stats` gives them.
    pub fn stats(&self) -> Stats {
        self.shared.portal().stats()
    }

    /// Every id ever visible to `user`, ascending, as `GET /sandbox/ledger` gives them.
    pub fn ledger(&self, user: u64) -> Vec<u64> {
        self.shared.portal().accounts.get(&user).map_or_else(Vec::new, |account| account.queue.ledger())
    }

    /// Stops listening and waits, for a moment at most, until the open connections are done.
    pub async fn stop(self) {
        let Self { shared, mut tasks, guard } = self;
        drop(guard);
        tasks.extend(shared.residence().take_servers());
        for task in tasks {
            // A connection that outlives the grace, or a task that panicked, changes nothing here.
            let _ended = timeout(STOP_GRACE, task).await;
        }
    }
}

fn record_backlog(portal: &mut Portal, count: u32) {
    let users: Vec<u64> = portal.accounts.keys().copied().collect();
    for user in users {
        let order = Order { user, count: Some(count), force: true, ..Order::default() };
        if let Err(error) = portal.record(&order) {
            tracing::warn!(user, %error, "the sandbox starts without this backlog");
        }
    }
}

/// Answers at one address until the stop.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let address = listener.local_addr().unwrap_or(shared.address);
    let door = Doorplate { address, shared: Arc::clone(&shared) };
    let router = Router::new()
        .route("/rest", any(transport::rest))
        .route("/rest/{*call}", any(transport::rest))
        .layer(middleware::from_fn_with_state(door, moving::forward))
        .merge(oauth::routes())
        .merge(control::routes())
        .with_state(shared)
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| {
        // Without it, small answers wait for the peer's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY refused");
        }
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the sandbox stopped serving");
    }
}
