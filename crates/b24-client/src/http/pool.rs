//! A connection pool for one host. It renews its connections regularly, so that a change in DNS takes effect,
//! and replaces them at once if one was closed while idle.
//!
//! A request on a connection that was closed while idle is sent again once, on a new connection. A request
//! that failed on a new connection is not sent again.
//!
//! A connection is reused only after the host has shown that it sends nothing after its responses, because
//! stray bytes would be taken for the start of the next response.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use reqwest::{Client, Request, Response, StatusCode, Url, Version};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use tracing::warn;

use super::build_error::{ClientBuildError, ProxyError};
use super::networks::{self, NotPublic};
use super::proxy::{NamedProxy, Rules};
use super::{Networks, Route, build_with, cause, explain};
use crate::log_code;

/// The maximum age of connections, even busy ones. After that, the name is resolved again.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);

tokio::task_local! {
    /// Whether a new connection was requested while a request was being sent.
    static HAS_CONNECTED: Cell<bool>;
}

/// The reason why there is no response. Callers match on it to decide about a retry.
#[derive(Debug)]
pub enum Failure {
    /// The host is not on the public internet, and the route allows no other network.
    NotPublic,
    /// An environment variable names an unusable proxy.
    Proxy(ProxyError),
    /// The data on a reused connection is not a response, with a description: the host sent extra bytes after
    /// its last response.
    StrayBytes(String),
    /// Any other error, which may contain the URL, and the proxy that was used.
    Failed(reqwest::Error, Option<NamedProxy>),
}

/// A pool of connections to one host.
pub struct Pool {
    url: Url,
    timeout: Duration,
    route: Route,
    rules: Rules,
    age_max: Duration,
    manners: Manners,
    current: Mutex<Generation>,
}

/// The connections since the last renewal.
#[derive(Clone)]
struct Generation {
    client: Client,
    since: Instant,
    number: u64,
}

/// Whether the host ends its responses correctly: `UNKNOWN` at first, `STRAY` permanently.
struct Manners(AtomicU8);

const UNKNOWN: u8 = 0;
const CLEAN: u8 = 1;
const STRAY: u8 = 2;

impl Pool {
    /// A pool for the host of `url`, for requests that time out after `timeout`.
    pub fn try_new(url: &Url, timeout: Duration, route: Route) -> Result<Self, ClientBuildError> {
        let rules = Rules::of(&route.via);
        let client = build_with(url, timeout, &route, &rules)?;
        let current = Mutex::new(Generation { client, since: Instant::now(), number: 0 });
        let manners = Manners(AtomicU8::new(UNKNOWN));
        Ok(Self { url: url.clone(), timeout, route, rules, age_max: AGE_MAX, manners, current })
    }

    /// The URL that the pool was created for.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The proxy that is used.
    pub fn proxy(&self) -> Option<NamedProxy> {
        self.rules.proxy_to(&self.url).ok().flatten()
    }

    /// A client to build requests with.
    pub fn client(&self) -> Client {
        self.current().client.clone()
    }

    /// Sends `request` to the host of this pool, with the request's timeout or else the pool's.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        if self.route.networks == Networks::Public {
            networks::refuse_by_name(request.url()).map_err(|NotPublic| Failure::NotPublic)?;
        }
        let proxy = self.rules.proxy_to(request.url()).map_err(Failure::Proxy)?;
        let started = Instant::now();
        let again = request.try_clone();
        let generation = self.generation();
        let Broken { error, was_used } = match self.exchange(&generation, request).await {
            Ok(response) => return Ok(response),
            Err(broken) => broken,
        };
        match again.filter(|_| was_used) {
            Some(mut again) if is_broken(&error) => {
                let timeout = again.timeout().copied().unwrap_or(self.timeout);
                *again.timeout_mut() = Some(timeout.saturating_sub(started.elapsed()));
                let generation = self.renew(generation.number);
                self.exchange(&generation, again).await.map_err(|broken| broken.of(proxy))
            }
            Some(_) if cause(&error).is_some_and(hyper::Error::is_parse) => {
                self.distrust(&generation);
                Err(Failure::StrayBytes(explain(error)))
            }
            _ => Err(Failure::of(error, proxy)),
        }
    }

    /// Sends `request` over a connection of `generation`. The connection is not reused until the host is
    /// known to end its responses correctly.
    async fn exchange(&self, generation: &Generation, mut request: Request) -> Result<Response, Broken> {
        let is_last = !self.manners.are_clean();
        if is_last {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let sending = async {
            let outcome = generation.client.execute(request).await;
            (outcome, HAS_CONNECTED.with(Cell::get))
        };
        let (outcome, has_connected) = HAS_CONNECTED.scope(Cell::new(false), sending).await;
        let response = outcome.map_err(|error| Broken { error, was_used: !is_last && !has_connected })?;
        if announces_stray_body(&response) {
            self.distrust(generation);
        } else if response.status().is_success() {
            self.manners.praise();
        }
        Ok(response)
    }

    /// From now on, uses each connection only once, and no connection of `generation` again.
    fn distrust(&self, generation: &Generation) {
        if self.manners.blame() {
            let host = self.url.host_str().unwrap_or_default();
            warn!(
                code = %log_code::STRAY_BYTES,
                host,
                "this host sends bytes after the end of its answers: every request to it uses a new connection"
            );
            self.renew(generation.number);
        }
    }

    fn current(&self) -> MutexGuard<'_, Generation> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current connections, which are not too old.
    fn generation(&self) -> Generation {
        let generation = self.current().clone();
        if generation.since.elapsed() < self.age_max {
            return generation;
        }
        self.renew(generation.number)
    }

    /// Replaces the connections of generation `seen`, unless another task has already done so. If that fails,
    /// for example while the system's certificates are being replaced, the old ones stay in use.
    fn renew(&self, seen: u64) -> Generation {
        let mut current = self.current();
        if current.number == seen {
            if let Ok(client) = build_with(&self.url, self.timeout, &self.route, &self.rules) {
                current.client = client;
            }
            current.since = Instant::now();
            current.number += 1;
        }
        current.clone()
    }
}

impl Manners {
    fn are_clean(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CLEAN
    }

    /// Records a response that ended correctly.
    fn praise(&self) {
        self.0.compare_exchange(UNKNOWN, CLEAN, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// Records a response that did not end correctly. Returns whether it was the first.
    fn blame(&self) -> bool {
        self.0.swap(STRAY, Ordering::Relaxed) != STRAY
    }
}

/// A request without a response.
struct Broken {
    error: reqwest::Error,
    /// True if the connection had been used before.
    was_used: bool,
}

impl Broken {
    fn of(self, proxy: Option<NamedProxy>) -> Failure {
        Failure::of(self.error, proxy)
    }
}

impl Failure {
    fn of(error: reqwest::Error, proxy: Option<NamedProxy>) -> Self {
        if cause::<NotPublic>(&error).is_some() { Self::NotPublic } else { Self::Failed(error, proxy) }
    }

    /// Describes the error without the URL.
    pub fn explain(self) -> String {
        match self {
            Self::NotPublic => NotPublic.to_string(),
            Self::Proxy(error) => error.to_string(),
            Self::StrayBytes(reason) => stray_bytes(&reason),
            Self::Failed(error, proxy) => through(explain(error), proxy.as_ref()),
        }
    }
}

/// Describes an unreadable response on a reused connection.
fn stray_bytes(reason: &str) -> String {
    format!(
        "the server sent bytes after its answer on a reused connection: {reason}; the next requests use new ones"
    )
}

/// Adds the proxy that was used to `words`.
pub fn through(words: String, proxy: Option<&NamedProxy>) -> String {
    match proxy {
        Some(proxy) => format!("{words} (through {proxy})"),
        None => words,
    }
}

/// True if the header of `response` announces a body where none is allowed. A host that sends such a header
/// also sends the body.
fn announces_stray_body(response: &Response) -> bool {
    let has_none = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let (headers, is_old) = (response.headers(), response.version() < Version::HTTP_2);
    let is_long = || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    has_none && is_old && (headers.contains_key(TRANSFER_ENCODING) || is_long())
}

/// True if the connection ended where a response should have started.
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

/// Records each new connection in [`HAS_CONNECTED`]. A connection is opened in the task of the request that
/// needs it.
#[derive(Clone)]
pub(super) struct Noticing;

/// A connector wrapped by [`Noticing`].
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
        // Outside of a pool, the value is not used.
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

    /// A server that keeps connections open, and the number of its connections.
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
        // The first connection is not reused, because nothing is known about the host yet.
        assert_eq!(connections(AGE_MAX).await, 2);
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
