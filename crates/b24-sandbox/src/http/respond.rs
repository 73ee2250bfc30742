//! Responds to a request, and applies the fault script.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::response::Response;

use crate::faults::effects;
use crate::http::request::Errand;
use crate::http::state::Shared;
use crate::queue::buffer::Passage;
use crate::rest::input::parameter::Parameters;

/// The response to `errand`, with its fault applied if there is one.
pub(crate) async fn respond(errand: &Errand, shared: &Shared) -> Response {
    let fault = shared.portal().admit(errand);
    match fault {
        Some(fault) => effects::play(fault, errand, shared).await,
        None => errand.answer(shared, Passage::Whole, |_| {}).map(Body::from),
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
