//! What each fault makes of an answer.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use super::call::Call;
use super::envelope::{self, Answer};
use super::fault::{Breakage, Edit, Fault};
use super::method::Outcome;
use super::php_json;
use super::queue::{Page, Passage};
use super::shared::Shared;
use super::wire;

/// Answers `call` as `fault` has it.
pub async fn play(fault: Fault, call: &Call, shared: &Shared) -> Response<Body> {
    let mut response = respond(fault.breakage, call, shared).await;
    for (name, value) in &fault.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

async fn respond(breakage: Breakage, call: &Call, shared: &Shared) -> Response<Body> {
    let whole = || real(call, shared, Passage::Whole);
    let broken = || real(call, shared, Passage::Broken);
    match breakage {
        Breakage::Error { status, code, description, extra } => error(status, code, description, extra),
        Breakage::Raw { status, content_type, body } => {
            page(status, content_type.as_deref().unwrap_or("application/json"), body)
        }
        Breakage::Html { status } => page(status, "text/html; charset=utf-8", html(status)),
        Breakage::Empty { status } => page(status, "text/html; charset=utf-8", String::new()),
        Breakage::Redirect { status, location } => redirect(status, &location),
        Breakage::CloseBefore {} => wire::closed(),
        Breakage::CloseAfter {} => {
            broken();
            wire::closed()
        }
        Breakage::Truncate { at } => {
            let answer = broken();
            let length = cut_at(at, answer.body().len());
            wire::cut(answer, length)
        }
        Breakage::WrongLength {} => wire::overstated(broken()),
        Breakage::GzipCut {} => wire::cut_gzip(broken()),
        Breakage::Stall { seconds } => wire::late(whole(), seconds, &shared.stop).await,
        Breakage::Drip { bytes_per_second } => wire::drip(whole(), bytes_per_second, &shared.stop),
        Breakage::Rewrite { pointer, value, remove, mut edits } => {
            edits.extend(pointer.map(|pointer| Edit { pointer, value, remove }));
            rewrite(whole(), &edits).map(Body::from)
        }
        Breakage::Shuffle {} => bent(call, shared, |page| page.rows.reverse()).map(Body::from),
        Breakage::Duplicate {} => {
            bent(call, shared, |page| page.rows.splice(0..0, page.rows.first().cloned()).for_each(drop))
                .map(Body::from)
        }
    }
}

/// The answer the portal gives.
fn real(call: &Call, shared: &Shared, passage: Passage) -> Answer {
    let executed = shared.portal().execute(call, passage);
    envelope::answer(&executed)
}

/// The answer the portal gives, its page of events changed by `bend`.
fn bent(call: &Call, shared: &Shared, bend: impl FnOnce(&mut Page)) -> Answer {
    let mut executed = shared.portal().execute(call, Passage::Whole);
    if let Ok(Outcome::Page(page)) = &mut executed.outcome {
        bend(page);
    }
    envelope::answer(&executed)
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

fn page(status: StatusCode, content_type: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if let Ok(content_type) = HeaderValue::try_from(content_type) {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

fn html(status: StatusCode) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><title>{status}</title>\n<style>body{{font-family:sans-serif;\
         background:#eef2f4;text-align:center;padding-top:20vh}}</style></head>\n<body><h1>{status}</h1>\n\
         <p>Сервис временно недоступен. Мы уже знаем об этом &mdash; попробуйте обновить страницу через минуту.</p>\n\
         </body></html>\n"
    )
}

fn redirect(status: StatusCode, location: &str) -> Response<Body> {
    let mut response = page(status, "text/html; charset=utf-8", html(status));
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Where to cut a body of `length` bytes: `at` is a share up to 1, a count of bytes above that.
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

fn rewrite(answer: Answer, edits: &[Edit]) -> Answer {
    answer.map(|body| match serde_json::from_slice::<Value>(&body) {
        Ok(mut json) => {
            for edit in edits {
                apply(edit, &mut json);
            }
            Bytes::from(php_json::render(&json))
        }
        Err(_) => body,
    })
}

/// Carries out one edit; a pointer into nowhere changes nothing.
fn apply(edit: &Edit, json: &mut Value) {
    let Some((parent, key)) = edit.pointer.rsplit_once('/') else {
        *json = edit.value.clone();
        return;
    };
    let key = key.replace("~1", "/").replace("~0", "~");
    match json.pointer_mut(parent) {
        Some(Value::Object(keys)) if edit.remove => drop(keys.remove(&key)),
        Some(Value::Object(keys)) => drop(keys.insert(key, edit.value.clone())),
        Some(Value::Array(items)) => edit_item(edit, items, &key),
        _ => {}
    }
}

fn edit_item(edit: &Edit, items: &mut Vec<Value>, key: &str) {
    let index = key.parse().unwrap_or(items.len());
    if index < items.len() {
        items.remove(index);
    }
    if !edit.remove {
        items.insert(index.min(items.len()), edit.value.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edited(pointer: &str, value: Value, remove: bool) -> Value {
        let mut json = json!({"result": {"events": [1, 2], "nextOffset": 3}});
        apply(&Edit { pointer: pointer.into(), value, remove }, &mut json);
        json
    }

    #[test]
    fn edits_replace_add_and_remove() {
        let next = |json: Value| json["result"]["nextOffset"].clone();
        assert_eq!(next(edited("/result/nextOffset", Value::Null, false)), Value::Null);
        assert_eq!(edited("/error", json!(""), false)["error"], "");
        assert_eq!(edited("/result", json!(0), true), json!({}));
        assert_eq!(edited("/result/events/0", json!(9), false)["result"]["events"], json!([9, 2]));
        assert_eq!(edited("/result/events/1", json!(0), true)["result"]["events"], json!([1]));
        assert_eq!(edited("/result/events/-", json!(3), false)["result"]["events"], json!([1, 2, 3]));
        assert_eq!(edited("", json!([]), false), json!([]));
        assert_eq!(edited("/no/where", json!(1), false), edited("/none/at/all", json!(1), true));
    }

    #[test]
    fn a_cut_is_a_share_or_a_count() {
        assert_eq!([cut_at(0.0, 80), cut_at(0.5, 80), cut_at(7.0, 80), cut_at(999.0, 80)], [0, 40, 7, 80]);
    }
}
