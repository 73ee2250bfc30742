//! The part of `/sandbox/...` for the events of one user or bot.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::control::reply::Reply;
use crate::control::reply::Shares;
use crate::control::reply::read;
use crate::http::state::AppState;
use crate::queue::owner::OwnerQuery;
use crate::queue::owner::Reader;
use crate::queue::seed::SeedRequest;

/// The routes to the queues.
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/sandbox/events", post(events))
        .route("/sandbox/release", post(release))
        .route("/sandbox/steal", post(steal))
        .route("/sandbox/ledger", get(ledger))
}

async fn events(State(app_state): Shares, body: Bytes) -> Reply {
    let request: SeedRequest = read(&body)?;
    let recorded = app_state.portal().record(&request)?;
    Ok(Json(json!(recorded)))
}

async fn release(State(app_state): Shares, body: Bytes) -> Reply {
    let owner: OwnerQuery = read(&body)?;
    let mut portal = app_state.portal();
    let released: usize = if owner.user.is_none() && owner.bot.is_none() {
        portal.queues_mut().map(crate::queue::buffer::Queue::release).sum()
    } else {
        portal.queue_mut(Reader::of(owner.user, owner.bot)?)?.release()
    };
    Ok(Json(json!({ "released": released })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Theft {
    user: Option<u64>,
    bot: Option<u64>,
    offset: Option<u64>,
}

async fn steal(State(app_state): Shares, body: Bytes) -> Reply {
    let theft: Theft = read(&body)?;
    let reader = Reader::of(theft.user, theft.bot)?;
    let mut portal = app_state.portal();
    portal.now();
    let stolen = portal.queue_mut(reader)?.steal(theft.offset);
    Ok(Json(json!({ "stolen": stolen })))
}

async fn ledger(State(app_state): Shares, Query(owner): Query<OwnerQuery>) -> Reply {
    let reader = Reader::of(owner.user, owner.bot)?;
    Ok(Json(json!({ "ids": app_state.portal().queue(reader)?.ledger() })))
}
