//! What the HTTP server answers. It changes nothing.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, routing};
use b24_client::foreign_text::{plain as on_one_line, visible, visible_json};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::service::http::access::{Access, Verdict};
use crate::service::http::guesses::Guesses;
use crate::service::metrics::exposition;
use crate::service::metrics::scrape;
use crate::service::page::document;
use crate::service::page::texts::Texts;
use crate::service::signals::health;
use crate::service::view::View;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The longest search for a source, in characters.
const QUERY_MAX: usize = 100;

/// The routes of `view`, for requests that `access` permits.
pub(crate) fn router(view: View, access: Access) -> Router {
    let gate = Gate { view: view.clone(), access, guesses: Guesses::default() };
    Router::new()
        .route("/", routing::get(show_page))
        .route("/style.css", routing::get(async || with_type("text/css; charset=utf-8", document::style())))
        .route(
            "/page.js",
            routing::get(async || with_type("text/javascript; charset=utf-8", document::SCRIPT.to_owned())),
        )
        .route("/favicon.svg", routing::get(async || with_type("image/svg+xml", document::ICON.to_owned())))
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
        gate.guesses.slow_down(peer, &gate.view.telemetry.metrics).await;
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

async fn show_page(State(view): State<View>, request: Request) -> Response {
    let language = request.headers().get(ACCEPT_LANGUAGE).and_then(|accept| accept.to_str().ok());
    let texts = Texts::preferred(language.unwrap_or_default());
    let query = query(&request);
    match health::health(&view).await {
        Ok(health) => {
            let page = document::page(texts, &view, &health, &query).into_string();
            with_type("text/html; charset=utf-8", visible(&page))
        }
        Err(error) => plain(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// The text of the search form, in the parameter `q`.
fn query(request: &Request) -> String {
    let mut parameters = request.uri().query().unwrap_or_default().split('&');
    let value = parameters.find_map(|parameter| parameter.strip_prefix("q=")).unwrap_or_default();
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8_lossy();
    decoded.trim().chars().take(QUERY_MAX).collect()
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
        Ok(health) => scrape::of_health(&health, &view.telemetry.metrics),
        Err(error) => return plain(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let of_process = scrape::of_process();
    let registries = [view.telemetry.metrics.registry(), &of_report, &of_process];
    if exposition::wants_open(accept) {
        with_type(exposition::OPEN, exposition::open(&registries))
    } else {
        with_type(exposition::CLASSIC, exposition::classic(&registries))
    }
}
