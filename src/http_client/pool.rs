//! Connections to one host: renewed before a name that has moved is missed for long, and replaced at once when
//! one of them turns out to have been closed while it was idle.
//!
//! Such a request is sent again once, on a connection that is new; one that broke on a new connection is not.
//!
//! A connection is used again only after the host has shown that it sends nothing behind its answers: stray bytes
//! would be taken for the beginning of the next answer.

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

use super::networks::{self, NotPublic};
use super::proxy::{NamedProxy, Rules};
use super::{Networks, Route, build_with, cause, explain};

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
    /// A variable of the environment names a proxy that cannot be used, in words.
    Proxy(String),
    /// What came on a connection that had been used before is no answer, in words: the host has sent more than
    /// its last answer.
    StrayBytes(String),
    /// Everything else; may name the URL. On the way was this proxy.
    Failed(reqwest::Error, Option<NamedProxy>),
}

/// See the top of this file.
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

/// What is known of how the host ends its answers: `UNKNOWN` at first, `STRAY` for good.
struct Manners(AtomicU8);

const UNKNOWN: u8 = 0;
const CLEAN: u8 = 1;
const STRAY: u8 = 2;

impl Pool {
    /// Connections to the host of `url`, for requests that end within `timeout`.
    ///
    /// # Errors
    /// A text that says why TLS cannot be set up, or which variable names a proxy that cannot be used.
    pub fn try_new(url: &Url, timeout: Duration, route: Route) -> Result<Self, String> {
        let rules = Rules::of(&route.via);
        let client = build_with(url, timeout, &route, &rules)?;
        let current = Mutex::new(Generation { client, since: Instant::now(), number: 0 });
        let manners = Manners(AtomicU8::new(UNKNOWN));
        Ok(Self { url: url.clone(), timeout, route, rules, age_max: AGE_MAX, manners, current })
    }

    /// Where it leads.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The proxy on the way there.
    pub fn proxy(&self) -> Option<NamedProxy> {
        self.rules.proxy_to(&self.url).ok().flatten()
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

    /// Sends `request` over a connection of `generation`, which is not used again as long as it is not known
    /// whether it could be.
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

    /// Uses no connection twice from here on, nor one of `generation` once more.
    fn distrust(&self, generation: &Generation) {
        if self.manners.blame() {
            let host = self.url.host_str().unwrap_or_default();
            warn!(
                host,
                "this host sends bytes after the end of its answers: every request to it uses a new connection"
            );
            self.renew(generation.number);
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
        self.renew(generation.number)
    }

    /// New connections in place of those of generation `seen`, unless somebody else was faster. When they
    /// cannot be had (the system's certificates are just being replaced), the old ones go on.
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

    /// An answer ended as it should.
    fn praise(&self) {
        self.0.compare_exchange(UNKNOWN, CLEAN, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// One did not; says whether it was the first.
    fn blame(&self) -> bool {
        self.0.swap(STRAY, Ordering::Relaxed) != STRAY
    }
}

/// An exchange without an answer.
struct Broken {
    error: reqwest::Error,
    /// Whether it was on a connection that had been used before.
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

    /// What went wrong, without the URL.
    pub fn explain(self) -> String {
        match self {
            Self::NotPublic => NotPublic.to_string(),
            Self::Proxy(reason) => reason,
            Self::StrayBytes(reason) => stray_bytes(&reason),
            Self::Failed(error, proxy) => through(explain(error), proxy.as_ref()),
        }
    }
}

/// What an answer that cannot be read means on a connection that was used before.
fn stray_bytes(reason: &str) -> String {
    format!(
        "the server sent bytes after its answer on a reused connection: {reason}; the next requests use new ones"
    )
}

/// `words` and the proxy that was on the way.
pub fn through(words: String, proxy: Option<&NamedProxy>) -> String {
    match proxy {
        Some(proxy) => format!("{words} (through {proxy})"),
        None => words,
    }
}

/// Whether the head of `response` announces a body where there is none: what sends such a head sends the body too.
fn announces_stray_body(response: &Response) -> bool {
    let has_none = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let (headers, is_old) = (response.headers(), response.version() < Version::HTTP_2);
    let is_long = || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    has_none && is_old && (headers.contains_key(TRANSFER_ENCODING) || is_long())
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
        // The first one is not: nothing is known of the host yet.
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
