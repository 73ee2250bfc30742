//! HTTP below `/rest/`: a request becomes a call, the call an answer, and the fault script may step in
//! between (PORTAL.md 1).

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};

use super::breakage;
use super::call::{Call, read_path};
use super::envelope;
use super::parameter::Parameters;
use super::queue::Passage;
use super::shared::Shared;

/// Bodies of calls are a few dozen bytes; a front end would cut far larger ones off.
const BODY_MAX: usize = 1 << 20;

/// Answers one call.
pub async fn rest(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return axum::http::StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = read_call(&parts, &body);
    let fault = shared.portal().admit(&call);
    if let Some(fault) = fault {
        return breakage::play(fault, &call, &shared).await;
    }
    let executed = shared.portal().execute(&call, Passage::Whole);
    envelope::answer(&executed).map(Body::from)
}

fn read_call(parts: &Parts, body: &Bytes) -> Call {
    let (webhook, method) = read_path(parts.uri.path());
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let query = parts.uri.query().unwrap_or("");
    let parameters = Parameters::read(query, content_type.unwrap_or(""), body);
    Call { verb: parts.method.clone(), method, webhook, parameters }
}
