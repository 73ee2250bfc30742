//! A renamed portal: it moves to another address, and every other one it ever had answers calls with a
//! 302 there (PORTAL.md 1.5).
//!
//! Only calls are sent away. The control API and the token endpoint answer everywhere.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::control::api::{Complaint, Reply, Shares, read};
use crate::faults::effects;
use crate::http::server::serve;
use crate::http::state::Shared;

/// How many addresses one sandbox opens in its life.
const ADDRESSES_MAX: usize = 64;

/// Where the portal is to be found, and who listens at the addresses it was given by moves.
#[derive(Debug)]
pub struct Residence {
    address: SocketAddr,
    servers: Vec<JoinHandle<()>>,
}

impl Residence {
    /// A portal that has not moved yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, servers: Vec::new() }
    }

    /// Where calls are answered.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The tasks that serve the later addresses, for whoever waits for their end.
    pub fn take_servers(&mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.servers)
    }
}

/// One listener's view: its own address, and where the portal is.
#[derive(Clone, Debug)]
pub struct Doorplate {
    /// What this listener is bound to.
    pub address: SocketAddr,
    /// The sandbox it belongs to.
    pub shared: Arc<Shared>,
}

/// Lets a call in where the portal lives, and sends it on from anywhere else: same path and query,
/// other host.
pub async fn forward(State(door): State<Doorplate>, request: Request, next: Next) -> Response {
    let address = door.shared.residence().address();
    if address == door.address {
        return next.run(request).await;
    }
    door.shared.portal().count_redirect();
    let path = request.uri().path_and_query().map_or("/rest/", |path| path.as_str());
    effects::redirect(StatusCode::FOUND, &format!("http://{address}{path}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    #[serde(default)]
    back: bool,
}

/// `POST /sandbox/move`.
pub async fn relocate(State(shared): Shares, body: Bytes) -> Reply {
    let Move { back } = read(&body)?;
    let address =
        if back { go_home(&shared) } else { go_elsewhere(&shared).await.map_err(Complaint::unfit)? };
    Ok(Json(json!({ "address": address.to_string() })))
}

fn go_home(shared: &Shared) -> SocketAddr {
    shared.residence().address = shared.address;
    shared.address
}

/// Opens a free port beside the first address and moves there.
async fn go_elsewhere(shared: &Arc<Shared>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((shared.address.ip(), 0)).await?;
    let address = listener.local_addr()?;
    let mut residence = shared.residence();
    if residence.servers.len() >= ADDRESSES_MAX {
        return Err(io::Error::other("this portal has moved too often, start another sandbox"));
    }
    residence.servers.push(tokio::spawn(serve(listener, Arc::clone(shared))));
    residence.address = address;
    Ok(address)
}
