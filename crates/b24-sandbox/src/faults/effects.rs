//! Applies a fault to a response.

use axum::body::Body;
use axum::http::header::DATE;
use axum::http::{Response, StatusCode};
use serde_json::{Map, Value};

use crate::faults::rewrite::rewrite;
use crate::faults::script::{Edit, Fault, FaultEffect};
use crate::faults::transport;
use crate::http::request::PortalRequest;
use crate::http::state::AppState;
use crate::queue::buffer::{Completeness, Page};
use crate::wire::envelope::{self, Answer};
use crate::wire::html::{html_answer, page, redirect};
use crate::wire::php_json;

/// Responds to `request` with `fault` applied.
pub(crate) async fn play(fault: Fault, request: &PortalRequest, app_state: &AppState) -> Response<Body> {
    let mut response = respond(fault.effect, request, app_state).await;
    if !response.headers().contains_key(DATE) {
        let now = app_state.portal().now();
        response.headers_mut().extend(envelope::date(now));
    }
    for (name, value) in &fault.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

async fn respond(effect: FaultEffect, request: &PortalRequest, app_state: &AppState) -> Response<Body> {
    let whole = || real(request, app_state, Completeness::Whole);
    let broken = || real(request, app_state, Completeness::Broken);
    match effect {
        FaultEffect::Error { status, code, description, extra } => error(status, code, description, extra),
        FaultEffect::Raw { status, content_type, body } => {
            page(status, content_type.as_deref().unwrap_or("application/json"), body)
        }
        FaultEffect::Html { status } => html_answer(status).map(Body::from),
        FaultEffect::Empty { status } => page(status, "text/html; charset=utf-8", String::new()),
        FaultEffect::Redirect { status, location } => redirect(status, &location),
        FaultEffect::CloseBefore {} => transport::closed(),
        FaultEffect::CloseAfter {} => {
            broken();
            transport::closed()
        }
        FaultEffect::Truncate { at } => {
            let answer = broken();
            let length = cut_at(at, answer.body().len());
            transport::cut(answer, length)
        }
        FaultEffect::WrongLength {} => transport::overstated(broken()),
        FaultEffect::GzipCut {} => transport::cut_gzip(broken()),
        FaultEffect::Stall { seconds } => transport::late(whole(), seconds, &app_state.stop).await,
        FaultEffect::Drip { bytes_per_second } => transport::drip(whole(), bytes_per_second, &app_state.stop),
        FaultEffect::Rewrite { pointer, value, remove, mut edits } => {
            edits.extend(pointer.map(|pointer| Edit { pointer, value, remove }));
            edited(whole(), &edits)
        }
        FaultEffect::Shuffle {} => bent(request, app_state, |page| page.rows.reverse()),
        FaultEffect::Duplicate {} => bent(request, app_state, repeat_first),
    }
}

/// The normal response of the sandbox.
fn real(request: &PortalRequest, app_state: &AppState, completeness: Completeness) -> Answer {
    request.answer(app_state, completeness, |_| {})
}

/// The normal response of the sandbox, with its page of events changed by `bend`.
fn bent(request: &PortalRequest, app_state: &AppState, bend: impl FnOnce(&mut Page)) -> Response<Body> {
    request.answer(app_state, Completeness::Whole, bend).map(Body::from)
}

fn error(
    status: StatusCode,
    code: Value,
    description: Option<String>,
    extra: Map<String, Value>,
) -> Response<Body> {
    let mut body = Map::new();
    body.insert("error".into(), code);
    body.extend(description.map(|text| ("error_description".into(), text.into())));
    body.extend(extra);
    envelope::json(status, php_json::render(&body).into()).map(Body::from)
}

/// The position at which a body of `length` bytes is cut: `at` is a fraction up to 1, or else a number of
/// bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "saturating is what is wanted here"
)]
fn cut_at(at: f64, length: usize) -> usize {
    let bytes = if at <= 1.0 { (length as f64 * at) as usize } else { at as usize };
    bytes.min(length)
}

/// The response with its JSON edited. A response that is not text stays unchanged.
fn edited(answer: Answer, edits: &[Edit]) -> Response<Body> {
    answer.map(|body| match std::str::from_utf8(&body) {
        Ok(json) => Body::from(rewrite(json, edits)),
        Err(_) => Body::from(body),
    })
}

fn repeat_first(page: &mut Page) {
    if let Some(first) = page.rows.first().cloned() {
        page.rows.insert(0, first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_a_share_or_a_count() {
        assert_eq!([cut_at(0.0, 80), cut_at(0.5, 80), cut_at(7.0, 80), cut_at(999.0, 80)], [0, 40, 7, 80]);
    }
}
