//! `/sandbox/apps/...`: settings of applications, and changes to their tokens that the applications do not
//! know about.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::control::reply::Complaint;
use crate::control::reply::Reply;
use crate::control::reply::Shares;
use crate::control::reply::account;
use crate::control::reply::read;
use crate::http::state::Shared;
use crate::oauth::answer;
use crate::oauth::grant::{GrantType, Issue};
use crate::oauth::landing;
use crate::state::apps::{App, NextRefresh};
use crate::state::portal::Portal;

/// The routes, for [`crate::control::api::routes`].
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/sandbox/apps", get(apps).post(set_app))
        .route("/sandbox/apps/{client_id}/login", post(login))
        .route("/sandbox/apps/{client_id}/expire", post(expire))
        .route("/sandbox/apps/{client_id}/forget", post(forget))
        .route("/sandbox/apps/{client_id}/next_refresh", post(next_refresh))
        .route(landing::PATH, get(landing::landed))
}

/// The application called `client_id`.
pub(crate) fn find<'a>(portal: &'a Portal, client_id: &str) -> Result<&'a App, Complaint> {
    let missing = || Complaint(StatusCode::NOT_FOUND, format!("there is no application `{client_id}`"));
    portal.apps.get(client_id).ok_or_else(missing)
}

async fn apps(State(shared): Shares) -> Reply {
    let portal = shared.portal();
    Ok(Json(portal.apps.values().map(|app| describe(&shared, app)).collect()))
}

fn describe(shared: &Shared, app: &App) -> Value {
    let mut card = json!(app);
    if app.redirect_uri.is_none() {
        card["redirect_uri"] = json!(landing::url(shared));
    }
    card
}

/// Creates the named application, or changes the given settings of it.
async fn set_app(State(shared): Shares, body: Bytes) -> Reply {
    let changes: Map<String, Value> = read(&body)?;
    let client_id = changes.get("client_id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let client_id = client_id.ok_or_else(|| Complaint::unfit("name the application: `client_id`"))?;
    let mut portal = shared.portal();
    let before = portal.apps.get(client_id).cloned();
    let mut card = json!(before.unwrap_or_else(|| App::new(client_id, portal.seed)));
    if let Some(card) = card.as_object_mut() {
        card.extend(changes);
    }
    let app: App = serde_json::from_value(card).map_err(Complaint::unfit)?;
    let described = describe(&shared, &app);
    portal.apps.insert(app.client_id.clone(), app);
    Ok(Json(described))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    #[serde(default = "first_user")]
    user: u64,
}

fn first_user() -> u64 {
    1
}

/// Issues tokens without a browser, in the format of a refresh response.
async fn login(State(shared): Shares, Path(client_id): Path<String>, body: Bytes) -> Reply {
    let Login { user } = read(&body)?;
    let mut portal = shared.portal();
    let app = find(&portal, &client_id)?.clone();
    account(&mut portal, user)?;
    let now_s = portal.now().as_second();
    let pair = portal.tokens.issue(&app, user, now_s);
    Ok(Json(answer::describe(&Issue { app, pair, grant_type: GrantType::Refresh }, &portal, &shared)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expiry {
    #[serde(default)]
    refresh: bool,
}

async fn expire(State(shared): Shares, Path(client_id): Path<String>, body: Bytes) -> Reply {
    let Expiry { refresh } = read(&body)?;
    let mut portal = shared.portal();
    find(&portal, &client_id)?;
    let now_s = portal.now().as_second();
    portal.tokens.expire_access(&client_id, now_s);
    if refresh {
        portal.tokens.expire_refresh(&client_id, now_s);
    }
    Ok(Json(json!({})))
}

async fn forget(State(shared): Shares, Path(client_id): Path<String>) -> Reply {
    let mut portal = shared.portal();
    find(&portal, &client_id)?;
    portal.tokens.forget_access(&client_id);
    Ok(Json(json!({})))
}

async fn next_refresh(State(shared): Shares, Path(client_id): Path<String>, body: Bytes) -> Reply {
    let next: NextRefresh = read(&body)?;
    let mut portal = shared.portal();
    find(&portal, &client_id)?;
    portal.next_refresh.insert(client_id, next);
    Ok(Json(json!({})))
}
