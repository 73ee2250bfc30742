//! The portal's HTTP server at one address.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::any;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use crate::http::relocation::{self, Doorplate};
use crate::http::routes;
use crate::http::state::Shared;
use crate::{control, oauth};

/// Answers at one address until the stop.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let address = listener.local_addr().unwrap_or(shared.address);
    let door = Doorplate { address, shared: Arc::clone(&shared) };
    let router = Router::new()
        .route("/rest", any(routes::rest))
        .route("/rest/{*call}", any(routes::rest))
        .layer(middleware::from_fn_with_state(door, relocation::forward))
        .merge(oauth::routes::routes())
        .merge(control::api::routes())
        .with_state(shared)
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| {
        // Without it, small answers wait for the peer's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY refused");
        }
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the sandbox stopped serving");
    }
}
