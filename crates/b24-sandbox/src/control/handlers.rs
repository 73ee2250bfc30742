//! `/sandbox/handlers` and `/sandbox/offline`: bindings that no application requested, and events in the
//! offline queue.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control::apps::find;
use crate::control::reply::Reply;
use crate::control::reply::Shares;
use crate::control::reply::read;
use crate::http::state::AppState;
use crate::state::apps::FIRST_CLIENT_ID;
use crate::state::handlers::{Delivery, Handler};

/// The routes, for [`crate::control::api::routes`].
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/sandbox/handlers", get(handlers).post(add_handler))
        .route("/sandbox/offline", post(add_offline))
}

async fn handlers(State(app_state): Shares) -> Reply {
    Ok(Json(app_state.portal().handlers.iter().map(describe).collect()))
}

fn describe(handler: &Handler) -> Value {
    let mut described = handler.describe();
    described["client_id"] = json!(handler.client_id);
    described
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binding {
    #[serde(default = "first_app")]
    client_id: String,
    event: String,
    #[serde(default)]
    handler: String,
    #[serde(default)]
    auth_type: u64,
    #[serde(default)]
    event_type: EventType,
    #[serde(default)]
    connector: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EventType {
    #[default]
    Online,
    Offline,
}

fn first_app() -> String {
    FIRST_CLIENT_ID.into()
}

/// Creates any binding, even one that only an older portal would have accepted.
async fn add_handler(State(app_state): Shares, body: Bytes) -> Reply {
    let binding: Binding = read(&body)?;
    let mut portal = app_state.portal();
    find(&portal, &binding.client_id)?;
    let delivery = match binding.event_type {
        EventType::Online => Delivery::Online { url: binding.handler, user: binding.auth_type },
        EventType::Offline => Delivery::Offline { connector: binding.connector },
    };
    let event = binding.event.to_ascii_uppercase();
    let handler = Handler { client_id: binding.client_id, event, delivery };
    let described = describe(&handler);
    portal.handlers.push(handler);
    Ok(Json(described))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Happened {
    #[serde(default = "first_app")]
    client_id: String,
    event: String,
    #[serde(default)]
    data: Value,
}

/// Adds an event to the offline queue: one row for each application that has bound it offline.
async fn add_offline(State(app_state): Shares, body: Bytes) -> Reply {
    let happened: Happened = read(&body)?;
    let mut portal = app_state.portal();
    find(&portal, &happened.client_id)?;
    let now_s = portal.now().as_second();
    let event = happened.event.to_ascii_uppercase();
    let bound = portal.handlers.iter().filter(|handler| handler.client_id == happened.client_id);
    let connectors: Vec<String> = bound
        .filter(|handler| handler.event == event)
        .filter_map(|handler| match &handler.delivery {
            Delivery::Offline { connector } => Some(connector.clone()),
            Delivery::Online { .. } => None,
        })
        .collect();
    let record = |connector: &String| {
        portal.offline.record(&happened.client_id, connector, &event, happened.data.clone(), now_s)
    };
    Ok(Json(json!({ "ids": connectors.iter().map(record).collect::<Vec<_>>() })))
}
