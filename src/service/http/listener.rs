//! The HTTP server: it listens, and bounds what anyone who can reach the port may ask for.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::config::HttpConfig;
use crate::log_code;
use crate::service::http::access::Access;

/// How many connections may be open at once. For another one, the oldest is closed, so that idle connections cannot
/// lock out other clients.
const CONNECTIONS_MAX: usize = 64;

/// The longest life of a connection, even a busy one.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after the operating system has refused another socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that already listens. Clones share the socket.
#[derive(Clone)]
pub struct Server {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    config: HttpConfig,
}

/// The address of `[http]` cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("http.listen: cannot listen on {address}: {error}")]
pub struct ListenError {
    address: SocketAddr,
    error: io::Error,
}

impl PartialEq for Server {
    /// Whether both answer every client in the same way.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.listener, &other.listener) && self.config == other.config
    }
}

impl Server {
    /// Listens at the address of `config`.
    pub async fn listen(config: &HttpConfig) -> Result<Self, ListenError> {
        let fail = |error| ListenError { address: config.listen, error };
        let listener = TcpListener::bind(config.listen).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        info!("the page, metrics and health are at http://{address}/");
        if config.is_exposed() {
            warn!(code = %log_code::PLAIN_HTTP, %address, "`http.listen` speaks plain http to other machines: put a proxy with TLS before it, or listen on 127.0.0.1");
        }
        Ok(Self { listener: Arc::new(listener), address, config: config.clone() })
    }

    /// A server on the same socket, if `config` has the same address.
    pub fn renewed(&self, config: &HttpConfig) -> Option<Self> {
        let listens_there = config.listen == self.config.listen;
        listens_there.then(|| Self { config: config.clone(), ..self.clone() })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The setting `show_payloads`.
    pub fn shows_payloads(&self) -> bool {
        self.config.shows_payloads
    }

    /// Who may look.
    pub fn access(&self) -> Access {
        Access::new(self.config.token.clone())
    }

    /// Answers, for ever; connections end with it.
    pub async fn run(self, router: Router) {
        let (mut connections, mut by_age) = (JoinSet::new(), VecDeque::new());
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            by_age.retain(|connection: &AbortHandle| !connection.is_finished());
            if by_age.len() >= CONNECTIONS_MAX
                && let Some(oldest) = by_age.pop_front()
            {
                oldest.abort();
            }
            let router = router.clone().layer(Extension(peer));
            by_age.push_back(connections.spawn(serve(stream, peer, router)));
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router) {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(error)) = timeout(CONNECTION_AGE_MAX, connection).await {
        debug!(%peer, %error, "connection broken");
    }
}
