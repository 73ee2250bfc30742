//! `/oauth/...`: the authorization server. In reality, it runs on a separate host (PORTAL.md 5).

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Query, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::http::request::PortalRequest;
use crate::http::respond::{read_parameters, respond};
use crate::http::state::AppState;
use crate::oauth::landing;
use crate::rest::input::form::encode;

/// A form with a client id, a secret and a token is much smaller.
const BODY_MAX: usize = 64 << 10;

/// The routes of the authorization server.
pub(crate) fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/oauth/authorize", get(authorize))
        .route("/oauth/authorize/", get(authorize))
        .route("/oauth/token", get(token).post(token))
        .route("/oauth/token/", get(token).post(token))
}

#[derive(Deserialize)]
struct Agreement {
    client_id: Option<String>,
    state: Option<String>,
    /// The user in the browser; the first user if not given.
    user: Option<u64>,
    /// With S256, the only supported method.
    code_challenge: Option<String>,
}

/// Every user agrees at once, so the browser is redirected to the application immediately.
async fn authorize(State(app_state): State<Arc<AppState>>, Query(agreement): Query<Agreement>) -> Response {
    let mut portal = app_state.portal();
    let client_id = agreement.client_id.unwrap_or_default();
    let (app, code) = match portal.authorise_app(&client_id, agreement.user.unwrap_or(1)) {
        Ok(agreed) => agreed,
        Err(reason) => return landing::refused(reason),
    };
    if let Some(challenge) = agreement.code_challenge {
        portal.tokens.challenge(&code, challenge);
    }
    let address = app_state.address.to_string();
    let brought = [
        ("code", code),
        ("state", agreement.state.unwrap_or_default()),
        ("domain", app_state.portal_address().address().to_string()),
        ("member_id", portal.member_id.clone()),
        ("scope", app.scopes.join(",")),
        ("server_domain", address),
    ]
    .map(|(name, value)| format!("{name}={}", encode(&value)))
    .join("&");
    let target = app.redirect_uri.unwrap_or_else(|| landing::url(&app_state));
    let join = if target.contains('?') { '&' } else { '?' };
    redirect(&format!("{target}{join}{brought}"))
}

fn redirect(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::FOUND, [(LOCATION, location)]).into_response(),
        Err(_) => landing::refused("The redirect_uri of the application is no address."),
    }
}

async fn token(State(app_state): State<Arc<AppState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    respond(&PortalRequest::Token(read_parameters(&parts, &body)), &app_state).await
}
