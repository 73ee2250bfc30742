//! The HTTP server. It reads the current state and changes nothing. Everything has a limit, because every client that
//! can reach the port may send requests.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, routing};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::View;
use super::access::{Access, Verdict};
use super::guesses::Guesses;
use super::{exposition, health, metrics, page};
use crate::config::HttpConfig;
use crate::foreign_text::{plain as on_one_line, visible, visible_json};

/// How many connections may be open at once. For another one, the oldest is closed, so that idle connections cannot
/// lock out other clients.
const CONNECTIONS_MAX: usize = 64;

/// The longest life of a connection, even a busy one.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after the operating system has refused another socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A server that already listens. Clones share the socket.
#[derive(Clone)]
pub struct Server {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    config: HttpConfig,
}

impl PartialEq for Server {
    /// Whether both answer every client in the same way.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.listener, &other.listener) && self.config == other.config
    }
}

impl Server {
    /// Listens at the address of `config`.
    ///
    /// # Errors
    /// The address and the reason why it cannot listen there.
    pub async fn listen(config: &HttpConfig) -> Result<Self, String> {
        let fail = |error| format!("http.listen: cannot listen on {}: {error}", config.listen);
        let listener = TcpListener::bind(config.listen).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        info!("the page, metrics and health are at http://{address}/");
        if config.is_exposed() {
            warn!(%address, "`http.listen` speaks plain http to other machines: put a proxy with TLS before it, or listen on 127.0.0.1");
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

    /// Answers requests. Never returns; its connections end when it is dropped.
    pub async fn run(self, view: View) {
        let router = router(view, Access::new(self.config.token));
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

fn router(view: View, access: Access) -> Router {
    let gate = Gate { view: view.clone(), access, guesses: Guesses::default() };
    Router::new()
        .route("/", routing::get(show_page))
        .route(
            "/style.css",
            routing::get(async || with_type("text/css; charset=utf-8", page::STYLE.to_owned())),
        )
        .route("/status", routing::get(show_status))
        .route("/metrics", routing::get(show_metrics))
        .with_state(view)
        .layer(middleware::from_fn_with_state(gate, admit))
}

#[derive(Clone)]
struct Gate {
    view: View,
    access: Access,
    guesses: Guesses,
}

/// Answers health requests of every client, and all other requests only if the client has access.
async fn admit(
    State(gate): State<Gate>,
    Extension(peer): Extension<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let verdict = gate.access.judge(request.headers(), request.uri());
    if verdict == Verdict::WrongToken {
        gate.guesses.slow_down(peer, &gate.view.witness.figures).await;
    }
    let mut response = match (request.uri().path(), verdict) {
        _ if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            plain(StatusCode::METHOD_NOT_ALLOWED, "only to be looked at")
        }
        ("/livez", verdict) => told(&health::wedged(&gate.view), verdict),
        ("/readyz", verdict) => match health::health(&gate.view).await {
            Ok(health) => told(&health::unready(&gate.view, &health), verdict),
            Err(error) => told(&[error.to_string()], verdict),
        },
        (_, Verdict::Granted) => next.run(request).await,
        (_, Verdict::TokenNeeded | Verdict::WrongToken) => {
            let mut response = plain(StatusCode::UNAUTHORIZED, "a token is needed: `http.token`");
            let realm = HeaderValue::from_static("Basic realm=\"b24relay: any user, the token as password\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, realm);
            response
        }
        (_, Verdict::WrongName) => plain(
            StatusCode::MISDIRECTED_REQUEST,
            "without `http.token` ask for localhost or for an address, not for a name",
        ),
    };
    harden(&mut response);
    response
}

/// Headers for browsers: load nothing from elsewhere, cache nothing, guess no types.
fn harden(response: &mut Response) {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

fn told(reasons: &[String], verdict: Verdict) -> Response {
    match (reasons, verdict) {
        ([], _) => plain(StatusCode::OK, "ok"),
        (_, Verdict::Granted) => {
            let lines: Vec<String> = reasons.iter().map(|reason| on_one_line(reason)).collect();
            plain(StatusCode::SERVICE_UNAVAILABLE, &lines.join("\n"))
        }
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "not ok"),
    }
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, with_type("text/plain; charset=utf-8", format!("{text}\n"))).into_response()
}

fn with_type(kind: &'static str, body: String) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(kind))], Body::from(body)).into_response()
}

async fn show_page(State(view): State<View>) -> Response {
    match health::health(&view).await {
        Ok(health) => {
            let page = page::page(&view, &health).into_string();
            with_type("text/html; charset=utf-8", visible(&page))
        }
        Err(error) => plain(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn show_status(State(view): State<View>) -> Response {
    let health = match health::health(&view).await {
        Ok(health) => health,
        Err(error) => return plain(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let reasons = health::unready(&view, &health);
    let mut shown = json!(health);
    shown["version"] = json!(env!("CARGO_PKG_VERSION"));
    shown["unready"] = json!(reasons);
    shown["wedged"] = json!(health::wedged(&view));
    with_type("application/json", visible_json(&shown.to_string()).into_owned())
}

async fn show_metrics(State(view): State<View>, request: Request) -> Response {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let of_report = match health::health(&view).await {
        Ok(health) => metrics::of_health(&health, &view.witness.figures),
        Err(error) => return plain(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let of_process = metrics::of_process();
    let registries = [view.witness.figures.registry(), &of_report, &of_process];
    if exposition::wants_open(accept) {
        with_type(exposition::OPEN, exposition::open(&registries))
    } else {
        with_type(exposition::CLASSIC, exposition::classic(&registries))
    }
}
