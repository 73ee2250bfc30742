//! Applies a fault to a response.

use axum::body::Body;
use axum::http::header::DATE;
use axum::http::{Response, StatusCode};
use serde_json::{Map, Value};

use crate::faults::rewrite::rewrite;
use crate::faults::script::{Breakage, Edit, Fault};
use crate::faults::transport;
use crate::http::request::Errand;
use crate::http::state::Shared;
use crate::queue::buffer::{Page, Passage};
use crate::wire::envelope::{self, Answer};
use crate::wire::html::{html_answer, page, redirect};
use crate::wire::php_json;

/// Responds to `errand` with `fault` applied.
pub(crate) async fn play(fault: Fault, errand: &Errand, shared: &Shared) -> Response<Body> {
    let mut response = respond(fault.breakage, errand, shared).await;
    if !response.headers().contains_key(DATE) {
        let now = shared.portal().now();
        response.headers_mut().extend(envelope::date(now));
    }
    for (name, value) in &fault.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

async fn respond(breakage: Breakage, errand: &Errand, shared: &Shared) -> Response<Body> {
    let whole = || real(errand, shared, Passage::Whole);
    let broken = || real(errand, shared, Passage::Broken);
    match breakage {
        Breakage::Error { status, code, description, extra } => error(status, code, description, extra),
        Breakage::Raw { status, content_type, body } => {
            page(status, content_type.as_deref().unwrap_or("application/json"), body)
        }
        Breakage::Html { status } => html_answer(status).map(Body::from),
        Breakage::Empty { status } => page(status, "text/html; charset=utf-8", String::new()),
        Breakage::Redirect { status, location } => redirect(status, &location),
        Breakage::CloseBefore {} => transport::closed(),
        Breakage::CloseAfter {} => {
            broken();
            transport::closed()
        }
        Breakage::Truncate { at } => {
            let answer = broken();
            let length = cut_at(at, answer.body().len());
            transport::cut(answer, length)
        }
        Breakage::WrongLength {} => transport::overstated(broken()),
        Breakage::GzipCut {} => transport::cut_gzip(broken()),
        Breakage::Stall { seconds } => transport::late(whole(), seconds, &shared.stop).await,
        Breakage::Drip { bytes_per_second } => transport::drip(whole(), bytes_per_second, &shared.stop),
        Breakage::Rewrite { pointer, value, remove, mut edits } => {
            edits.extend(pointer.map(|pointer| Edit { pointer, value, remove }));
            edited(whole(), &edits)
        }
        Breakage::Shuffle {} => bent(errand, shared, |page| page.rows.reverse()),
        Breakage::Duplicate {} => bent(errand, shared, repeat_first),
    }
}

/// The normal response of the sandbox.
fn real(errand: &Errand, shared: &Shared, passage: Passage) -> Answer {
    errand.answer(shared, passage, |_| {})
}

/// The normal response of the sandbox, with its page of events changed by `bend`.
fn bent(errand: &Errand, shared: &Shared, bend: impl FnOnce(&mut Page)) -> Response<Body> {
    errand.answer(shared, Passage::Whole, bend).map(Body::from)
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
