//! The control API under `/sandbox/`, with which tests and developers control the portal. Only this machine
//! can use it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::control::apps;
use crate::control::bots;
use crate::control::handlers;
use crate::control::queues;
use crate::control::relocation;
use crate::control::reply::{ApiError, Reply, Shares, account, read};
use crate::faults::script::Fault;
use crate::http::state::AppState;
use crate::state::clock::Clock;
use crate::state::counters::Stats;
use crate::state::portal::Account;
use crate::traffic::people::Person;

/// The response to `GET /sandbox`.
const HELP: &str = include_str!("help.txt");

/// Requests may contain payloads and bodies of faults, but of limited size.
const BODY_MAX: usize = 32 << 20;

/// The routes of the control API.
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/sandbox", get(async || HELP))
        .route("/sandbox/", get(async || HELP))
        .route("/sandbox/users", get(users))
        .route("/sandbox/users/{id}", post(user))
        .route("/sandbox/clock", post(clock))
        .route("/sandbox/clean", post(clean))
        .route("/sandbox/counter", post(counter))
        .route("/sandbox/portal", get(switches).post(set_switches))
        .route("/sandbox/faults", post(add_faults).delete(clear_faults))
        .route("/sandbox/stats", get(stats))
        .route("/sandbox/move", post(relocation::relocate))
        .merge(queues::routes())
        .merge(bots::routes())
        .merge(apps::routes())
        .merge(handlers::routes())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(admit_neighbours_only))
}

async fn admit_neighbours_only(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if peer.ip().to_canonical().is_loopback() {
        return next.run(request).await;
    }
    ApiError(StatusCode::FORBIDDEN, "the control API answers this machine only".into()).into_response()
}

async fn users(State(app_state): Shares) -> Reply {
    let portal = app_state.portal();
    Ok(Json(portal.accounts.values().map(|account| describe(&app_state, account)).collect()))
}

fn describe(app_state: &AppState, account: &Account) -> Value {
    json!({
        "id": account.id,
        "name": Person::of(account.id).name(),
        "webhook_url": app_state.webhook_url(account.id, &account.code),
        "subscribed": account.queue.is_subscribed(),
        "scopes": account.scopes,
        "active": account.active,
        "admin": account.is_admin,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserChange {
    subscribed: Option<bool>,
    scopes: Option<Vec<String>>,
    code: Option<String>,
    active: Option<bool>,
    admin: Option<bool>,
}

async fn user(State(app_state): Shares, Path(id): Path<u64>, body: Bytes) -> Reply {
    let change: UserChange = read(&body)?;
    let mut portal = app_state.portal();
    let account = account(&mut portal, id)?;
    if let Some(subscribed) = change.subscribed {
        account.queue.set_subscribed(subscribed);
    }
    account.scopes = change.scopes.unwrap_or_else(|| account.scopes.clone());
    account.code = change.code.unwrap_or_else(|| account.code.clone());
    account.active = change.active.unwrap_or(account.active);
    account.is_admin = change.admin.unwrap_or(account.is_admin);
    Ok(Json(describe(&app_state, account)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    set: Option<String>,
    advance_s: Option<i64>,
    freeze: Option<bool>,
}

impl ClockChange {
    fn apply(&self, clock: &mut Clock) -> Result<(), ApiError> {
        if let Some(present) = &self.set {
            clock.set(present.parse::<Timestamp>().map_err(ApiError::unfit)?);
        }
        if let Some(step_s) = self.advance_s {
            clock.advance(SignedDuration::from_secs(step_s));
        }
        match self.freeze {
            Some(true) => clock.freeze(),
            Some(false) => clock.thaw(),
            None => {}
        }
        Ok(())
    }
}

async fn clock(State(app_state): Shares, body: Bytes) -> Reply {
    let change: ClockChange = read(&body)?;
    let mut portal = app_state.portal();
    change.apply(&mut portal.clock)?;
    Ok(Json(json!({ "now": portal.now().to_string() })))
}

async fn clean(State(app_state): Shares) -> Reply {
    Ok(Json(json!({ "removed": app_state.portal().clean() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CounterChange {
    next: u64,
}

async fn counter(State(app_state): Shares, body: Bytes) -> Reply {
    let change: CounterChange = read(&body)?;
    Ok(Json(json!({ "next": app_state.portal().set_counter(change.next) })))
}

async fn switches(State(app_state): Shares) -> Reply {
    Ok(Json(json!(app_state.portal().switches)))
}

async fn set_switches(State(app_state): Shares, body: Bytes) -> Reply {
    let changes: Map<String, Value> = read(&body)?;
    let mut portal = app_state.portal();
    let mut all = json!(portal.switches);
    if let Some(all) = all.as_object_mut() {
        all.extend(changes);
    }
    portal.switches = serde_json::from_value(all).map_err(ApiError::unfit)?;
    Ok(Json(json!(portal.switches)))
}

async fn add_faults(State(app_state): Shares, body: Bytes) -> Reply {
    let faults = match read(&body)? {
        Value::Array(faults) => faults,
        fault => vec![fault],
    };
    let faults: Vec<Fault> =
        faults.into_iter().map(Fault::read).collect::<Result<_, _>>().map_err(ApiError::unfit)?;
    let mut portal = app_state.portal();
    for fault in faults {
        portal.faults.push(fault);
    }
    Ok(Json(json!({ "faults_left": portal.faults.left() })))
}

async fn clear_faults(State(app_state): Shares) -> Reply {
    app_state.portal().faults.clear();
    Ok(Json(json!({ "faults_left": 0 })))
}

async fn stats(State(app_state): Shares) -> Json<Stats> {
    Json(app_state.portal().stats())
}
