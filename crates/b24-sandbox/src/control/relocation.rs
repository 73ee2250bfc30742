//! `POST /sandbox/move`: the portal moves to another address, or back.

use std::io;
use std::net::SocketAddr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::control::reply::{Complaint, Reply, Shares, read};
use crate::http::state::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    #[serde(default)]
    back: bool,
}

/// `POST /sandbox/move`.
pub(crate) async fn relocate(State(shared): Shares, body: Bytes) -> Reply {
    let Move { back } = read(&body)?;
    let address = if back {
        shared.residence().go_home()
    } else {
        go_elsewhere(&shared).await.map_err(Complaint::unfit)?
    };
    Ok(Json(json!({ "address": address.to_string() })))
}

/// Opens a free port on the same host as the first address, and moves there.
async fn go_elsewhere(shared: &Shared) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((shared.address.ip(), 0)).await?;
    shared.residence().go_to(listener)
}
