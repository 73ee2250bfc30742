//! Connections to one host: renewed before a name that has moved is missed for long, and replaced at once when
//! one of them turns out to have been closed while it was idle.
//!
//! Such a request is sent again once, on a connection that is new; one that broke on a new connection is not.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::{Client, Request, Response, Url};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::networks::{self, NotPublic};
use super::{Networks, Route, build_with, cause};

/// How long connections are kept however busy they are: a name is resolved anew after that.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);

tokio::task_local! {
    /// Whether a new connection was asked for while a request was being sent.
    static HAS_CONNECTED: Cell<bool>;
}

/// Why there is no answer. Matched on by whoever sends.
#[derive(Debug)]
pub enum Failure {
    /// The host is not on the public internet, and the route leads nowhere else.
    NotPublic,
    /// Everything else; may name the URL.
    Failed(reqwest::Error),
}

/// See the top of this file.
pub struct Pool {
    url: Url,
    timeout: Duration,
    route: Route,
    age_max: Duration,
    current: Mutex<Generation>,
}

/// The connections since the last renewal.
#[derive(Clone)]
struct Generation {
    client: Client,
    since: Instant,
    number: u64,
}

impl Pool {
    /// Connections to the host of `url`, for requests that end within `timeout`.
    ///
    /// # Errors
    /// A text that says why TLS cannot be set up.
    pub fn try_new(url: &Url, timeout: Duration, route: Route) -> Result<Self, String> {
        let client = build_with(url, timeout, &route)?;
        let current = Mutex::new(Generation { client, since: Instant::now(), number: 0 });
        Ok(Self { url: url.clone(), timeout, route, age_max: AGE_MAX, current })
    }

    /// Where it leads.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// A client to put requests together with.
    pub fn client(&self) -> Client {
        self.current().client.clone()
    }

    /// Sends `request`, which goes to the host of this pool, within its own timeout or else the pool's.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        if self.route.networks == Networks::Public {
            networks::refuse_literal(request.url()).map_err(|NotPublic| Failure::NotPublic)?;
        }
        let started = Instant::now();
        let again = request.try_clone();
        let generation = self.generation();
        let (outcome, has_connected) = exchange(&generation.client, request).await;
        let error = match outcome {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        match again.filter(|_| !has_connected && is_broken(&error)) {
            Some(mut again) => {
                let timeout = again.timeout().copied().unwrap_or(self.timeout);
                *again.timeout_mut() = Some(timeout.saturating_sub(started.elapsed()));
                let client = self.renew(generation.number);
                client.execute(again).await.map_err(Failure::of)
            }
            None => Err(Failure::of(error)),
        }
    }

    fn current(&self) -> MutexGuard<'_, Generation> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connections to use, which are not too old.
    fn generation(&self) -> Generation {
        let generation = self.current().clone();
        if generation.since.elapsed() < self.age_max {
            return generation;
        }
        self.renew(generation.number);
        self.current().clone()
    }

    /// New connections in place of those of generation `seen`, unless somebody else was faster. When they
    /// cannot be had (the system's certificates are just being replaced), the old ones go on.
    fn renew(&self, seen: u64) -> Client {
        let mut current = self.current();
        if current.number == seen {
            if let Ok(client) = build_with(&self.url, self.timeout, &self.route) {
                current.client = client;
            }
            current.since = Instant::now();
            current.number += 1;
        }
        current.client.clone()
    }
}

impl Failure {
    fn of(error: reqwest::Error) -> Self {
        if cause::<NotPublic>(&error).is_some() { Self::NotPublic } else { Self::Failed(error) }
    }
}

/// Sends `request` and tells whether a connection was made for it.
async fn exchange(client: &Client, request: Request) -> (Result<Response, reqwest::Error>, bool) {
    let sending = async {
        let outcome = client.execute(request).await;
        (outcome, HAS_CONNECTED.with(Cell::get))
    };
    HAS_CONNECTED.scope(Cell::new(false), sending).await
}

/// Whether the connection ended where an answer should have begun.
fn is_broken(error: &reqwest::Error) -> bool {
    if error.is_timeout() || error.is_connect() {
        return false;
    }
    let is_cut =
        |error: &hyper::Error| error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let is_lost = |error: &io::Error| {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
        )
    };
    cause(error).is_some_and(is_cut) || cause(error).is_some_and(is_lost)
}

/// Notes each new connection in [`HAS_CONNECTED`]. The request that needs one makes it in its own task.
#[derive(Clone)]
pub(super) struct Noticing;

/// A connector with [`Noticing`] around it.
#[derive(Clone)]
pub(super) struct Noticed<S>(S);

impl<S> Layer<S> for Noticing {
    type Service = Noticed<S>;

    fn layer(&self, connector: S) -> Noticed<S> {
        Noticed(connector)
    }
}

impl<R, S: Service<R>> Service<R> for Noticed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> S::Future {
        // Outside of a pool nobody asks.
        HAS_CONNECTED.try_with(|noted| noted.set(true)).ok();
        self.0.call(target)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that keeps connections open, and how many there were.
    async fn server() -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    while stream.read(&mut [0; 4096]).await.is_ok_and(|length| length > 0) {
                        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                    }
                });
            }
        });
        (address, count)
    }

    async fn connections(age_max: Duration) -> usize {
        let (address, count) = server().await;
        let url: Url = format!("http://{address}/").parse().unwrap();
        let mut pool = Pool::try_new(&url, Duration::from_secs(30), Route::default()).unwrap();
        pool.age_max = age_max;
        for _ in 0..3 {
            let request = pool.client().get(url.clone()).build().unwrap();
            assert_eq!(pool.send(request).await.unwrap().status(), 204);
        }
        count.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn connections_are_used_again_until_they_are_too_old() {
        assert_eq!(connections(AGE_MAX).await, 1);
        assert_eq!(connections(Duration::ZERO).await, 3);
    }

    #[tokio::test]
    async fn a_pool_for_the_public_internet_does_not_send_elsewhere() {
        let (address, count) = server().await;
        for host in ["127.0.0.1", "localhost"] {
            let url: Url = format!("http://{host}:{}/", address.port()).parse().unwrap();
            let route = Route { networks: Networks::Public, ..Route::default() };
            let pool = Pool::try_new(&url, Duration::from_secs(30), route).unwrap();
            let request = pool.client().get(url.clone()).build().unwrap();
            assert!(matches!(pool.send(request).await, Err(Failure::NotPublic)), "{host}");
        }
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }
}
