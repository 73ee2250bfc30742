//! The portal's HTTP server, at all addresses that the portal has had.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::any;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::http::forward::{self, ListenerState};
use crate::http::routes;
use crate::http::state::AppState;
use crate::{control, oauth};

/// Serves `first` and each address in `later`, to which the portal moves, until the stop.
pub(crate) async fn serve_all(
    first: TcpListener,
    mut later: UnboundedReceiver<TcpListener>,
    app_state: Arc<AppState>,
) {
    let mut servers = JoinSet::new();
    servers.spawn(serve(first, Arc::clone(&app_state)));
    loop {
        tokio::select! {
            Some(listener) = later.recv() => {
                servers.spawn(serve(listener, Arc::clone(&app_state)));
            }
            () = app_state.stop.cancelled() => break,
        }
    }
    servers.join_all().await;
}

/// Serves one address until the stop.
async fn serve(listener: TcpListener, app_state: Arc<AppState>) {
    let stop = app_state.stop.clone();
    let address = listener.local_addr().unwrap_or(app_state.address);
    let state = ListenerState { address, app_state: Arc::clone(&app_state) };
    let router = Router::new()
        .route("/rest", any(routes::rest))
        .route("/rest/{*call}", any(routes::rest))
        .layer(middleware::from_fn_with_state(state, forward::forward))
        .merge(oauth::routes::routes())
        .merge(control::api::routes())
        .with_state(app_state)
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| {
        // Otherwise, small responses wait for the peer's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY refused");
        }
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the sandbox stopped serving");
    }
}
