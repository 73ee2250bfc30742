//! A renamed portal: every address except the current one answers calls with a 302 (PORTAL.md 1.5).
//!
//! Only calls are redirected. The control API and the token endpoint work at every address.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use crate::http::state::AppState;
use crate::wire::html;

/// The state of one listener: its own address, and the sandbox.
#[derive(Clone, Debug)]
pub(crate) struct ListenerState {
    /// The address that this listener is bound to.
    pub address: SocketAddr,
    /// The sandbox it belongs to.
    pub app_state: Arc<AppState>,
}

/// Accepts a call at the portal's current address, and redirects it from any other: same path and query,
/// other host.
pub(crate) async fn forward(State(state): State<ListenerState>, request: Request, next: Next) -> Response {
    let address = state.app_state.portal_address().address();
    if address == state.address {
        return next.run(request).await;
    }
    state.app_state.portal().count_redirect();
    let path = request.uri().path_and_query().map_or("/rest/", |path| path.as_str());
    html::redirect(StatusCode::FOUND, &format!("http://{address}{path}"))
}
