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
use crate::http::state::Shared;
use crate::queue::owner::Reader;
use crate::queue::owner::Whose;
use crate::queue::seed::Order;

/// The routes to the queues.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/sandbox/events", post(events))
        .route("/sandbox/release", post(release))
        .route("/sandbox/steal", post(steal))
        .route("/sandbox/ledger", get(ledger))
}

async fn events(State(shared): Shares, body: Bytes) -> Reply {
    let order: Order = read(&body)?;
    let recorded = shared.portal().record(&order)?;
    Ok(Json(json!(recorded)))
}

async fn release(State(shared): Shares, body: Bytes) -> Reply {
    let whose: Whose = read(&body)?;
    let mut portal = shared.portal();
    let released: usize = if whose.user.is_none() && whose.bot.is_none() {
        portal.queues_mut().map(crate::queue::buffer::Queue::release).sum()
    } else {
        portal.queue_mut(Reader::of(whose.user, whose.bot)?)?.release()
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

async fn steal(State(shared): Shares, body: Bytes) -> Reply {
    let theft: Theft = read(&body)?;
    let reader = Reader::of(theft.user, theft.bot)?;
    let mut portal = shared.portal();
    portal.now();
    let stolen = portal.queue_mut(reader)?.steal(theft.offset);
    Ok(Json(json!({ "stolen": stolen })))
}

async fn ledger(State(shared): Shares, Query(whose): Query<Whose>) -> Reply {
    let reader = Reader::of(whose.user, whose.bot)?;
    Ok(Json(json!({ "ids": shared.portal().queue(reader)?.ledger() })))
}
