//! Responds to a request, and applies the fault script.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::response::Response;

use crate::faults::{effects, transport};
use crate::http::request::PortalRequest;
use crate::http::state::AppState;
use crate::queue::buffer::Completeness;
use crate::rest::input::parameter::Parameters;

/// The response to `request`, with its fault applied if there is one.
pub(crate) async fn respond(request: &PortalRequest, app_state: &AppState) -> Response {
    if app_state.portal().switches.cut {
        return transport::closed();
    }
    let fault = app_state.portal().admit(request);
    match fault {
        Some(fault) => effects::play(fault, request, app_state).await,
        None => request.answer(app_state, Completeness::Whole, |_| {}).map(Body::from),
    }
}

/// The parameters from query and body.
pub(crate) fn read_parameters(parts: &Parts, body: &Bytes) -> Parameters {
    let query = parts.uri.query().unwrap_or("");
    Parameters::read(query, header(parts, &CONTENT_TYPE).unwrap_or(""), body)
}

/// A header, if it is text.
pub(crate) fn header<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}
