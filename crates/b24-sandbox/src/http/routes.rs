//! HTTP below `/rest/`: turns a request into a call and the call into a response. The fault script may change
//! the response (PORTAL.md 1).

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse as _, Response};

use crate::http::request::PortalRequest;
use crate::http::respond::{header, read_parameters, respond};
use crate::http::state::AppState;
use crate::rest::input::call::Call;

/// The bodies of calls have a few dozen bytes, and a front-end server would refuse much larger ones.
const BODY_MAX: usize = 1 << 20;

/// Answers one call.
pub(crate) async fn rest(State(app_state): State<Arc<AppState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return axum::http::StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let parameters = read_parameters(&parts, &body);
    let authorization = header(&parts, &AUTHORIZATION);
    let call = Call::new(parts.method.clone(), parts.uri.path(), authorization, parameters);
    respond(&PortalRequest::Call(call), &app_state).await
}
