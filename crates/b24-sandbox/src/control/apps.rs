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

use crate::control::reply::ApiError;
use crate::control::reply::Reply;
use crate::control::reply::Shares;
use crate::control::reply::account;
use crate::control::reply::read;
use crate::http::state::AppState;
use crate::oauth::answer;
use crate::oauth::grant::{GrantType, IssuedTokens};
use crate::oauth::landing;
use crate::state::apps::{App, NextRefresh};
use crate::state::portal::Portal;

/// The routes, for [`crate::control::api::routes`].
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/sandbox/apps", get(apps).post(set_app))
        .route("/sandbox/apps/{client_id}/login", post(login))
        .route("/sandbox/apps/{client_id}/expire", post(expire))
        .route("/sandbox/apps/{client_id}/forget", post(forget))
        .route("/sandbox/apps/{client_id}/next_refresh", post(next_refresh))
        .route(landing::PATH, get(landing::landed))
}

/// The application called `client_id`.
pub(crate) fn find<'a>(portal: &'a Portal, client_id: &str) -> Result<&'a App, ApiError> {
    let missing = || ApiError(StatusCode::NOT_FOUND, format!("there is no application `{client_id}`"));
    portal.apps.get(client_id).ok_or_else(missing)
}

async fn apps(State(app_state): Shares) -> Reply {
    let portal = app_state.portal();
    Ok(Json(portal.apps.values().map(|app| describe(&app_state, app)).collect()))
}

fn describe(app_state: &AppState, app: &App) -> Value {
    let mut card = json!(app);
    if app.redirect_uri.is_none() {
        card["redirect_uri"] = json!(landing::url(app_state));
    }
    card
}

/// Creates the named application, or changes the given settings of it.
async fn set_app(State(app_state): Shares, body: Bytes) -> Reply {
    let changes: Map<String, Value> = read(&body)?;
    let client_id = changes.get("client_id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let client_id = client_id.ok_or_else(|| ApiError::unfit("name the application: `client_id`"))?;
    let mut portal = app_state.portal();
    let before = portal.apps.get(client_id).cloned();
    let mut card = json!(before.unwrap_or_else(|| App::new(client_id, portal.seed)));
    if let Some(card) = card.as_object_mut() {
        card.extend(changes);
    }
    let app: App = serde_json::from_value(card).map_err(ApiError::unfit)?;
    let described = describe(&app_state, &app);
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
async fn login(State(app_state): Shares, Path(client_id): Path<String>, body: Bytes) -> Reply {
    let Login { user } = read(&body)?;
    let mut portal = app_state.portal();
    let app = find(&portal, &client_id)?.clone();
    account(&mut portal, user)?;
    let now_s = portal.now().as_second();
    let pair = portal.tokens.issue(&app, user, now_s);
    Ok(Json(answer::describe(
        &IssuedTokens { app, pair, grant_type: GrantType::Refresh },
        &portal,
        &app_state,
    )))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expiry {
    #[serde(default)]
    refresh: bool,
}

async fn expire(State(app_state): Shares, Path(client_id): Path<String>, body: Bytes) -> Reply {
    let Expiry { refresh } = read(&body)?;
    let mut portal = app_state.portal();
    find(&portal, &client_id)?;
    let now_s = portal.now().as_second();
    portal.tokens.expire_access(&client_id, now_s);
    if refresh {
        portal.tokens.expire_refresh(&client_id, now_s);
    }
    Ok(Json(json!({})))
}

async fn forget(State(app_state): Shares, Path(client_id): Path<String>) -> Reply {
    let mut portal = app_state.portal();
    find(&portal, &client_id)?;
    portal.tokens.forget_access(&client_id);
    Ok(Json(json!({})))
}

async fn next_refresh(State(app_state): Shares, Path(client_id): Path<String>, body: Bytes) -> Reply {
    let next: NextRefresh = read(&body)?;
    let mut portal = app_state.portal();
    find(&portal, &client_id)?;
    portal.next_refresh.insert(client_id, next);
    Ok(Json(json!({})))
}
