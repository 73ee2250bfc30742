//! `POST /sandbox/move`: the portal moves to another address, or back.

use std::io;
use std::net::SocketAddr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::control::reply::{ApiError, Reply, Shares, read};
use crate::http::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    #[serde(default)]
    back: bool,
}

/// `POST /sandbox/move`.
pub(crate) async fn relocate(State(app_state): Shares, body: Bytes) -> Reply {
    let Move { back } = read(&body)?;
    let address = if back {
        app_state.portal_address().go_home()
    } else {
        go_elsewhere(&app_state).await.map_err(ApiError::unfit)?
    };
    Ok(Json(json!({ "address": address.to_string() })))
}

/// Opens a free port on the same host as the first address, and moves there.
async fn go_elsewhere(app_state: &AppState) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((app_state.address.ip(), 0)).await?;
    app_state.portal_address().go_to(listener)
}
