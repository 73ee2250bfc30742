//! HTTP below `/rest/`: a request becomes a call, the call an answer, and the fault script may step in
//! between (PORTAL.md 1).

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};

use crate::faults::effects;
use crate::http::request::Errand;
use crate::http::state::Shared;
use crate::queue::buffer::Passage;
use crate::rest::call::Call;
use crate::rest::parameter::Parameters;

/// Bodies of calls are a few dozen bytes; a front end would cut far larger ones off.
const BODY_MAX: usize = 1 << 20;

/// Answers one call.
pub async fn rest(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return axum::http::StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let parameters = read_parameters(&parts, &body);
    let authorization = header(&parts, &AUTHORIZATION);
    let call = Call::new(parts.method.clone(), parts.uri.path(), authorization, parameters);
    respond(&Errand::Call(call), &shared).await
}

/// The answer to `errand`, or what the fault script makes of it.
pub async fn respond(errand: &Errand, shared: &Shared) -> Response {
    let fault = shared.portal().admit(errand);
    match fault {
        Some(fault) => effects::play(fault, errand, shared).await,
        None => errand.answer(shared, Passage::Whole, |_| {}).map(Body::from),
    }
}

/// What came in query and body.
pub fn read_parameters(parts: &Parts, body: &Bytes) -> Parameters {
    let query = parts.uri.query().unwrap_or("");
    Parameters::read(query, header(parts, &CONTENT_TYPE).unwrap_or(""), body)
}

fn header<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}
