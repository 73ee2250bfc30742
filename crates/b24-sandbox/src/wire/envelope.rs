//! The envelope of every response, for success and failure, with its deviations (PORTAL.md 1.3, 8).

use std::io::Write as _;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, DATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::rest::outcome::ExecutedCall;
use crate::rest::outcome::Listing;
use crate::rest::outcome::Outcome;
use crate::rest::refusal::Refusal;
use crate::wire::outcome::{write_outcome, write_time};
use crate::wire::page;
use crate::wire::php_json;

/// A complete response, before faults are applied.
pub(crate) type Answer = Response<Bytes>;

const BOM: &[u8] = b"\xEF\xBB\xBF";
/// The PHP warning for an error in an edited file.
const NOISE_BEFORE: &[u8] = b"<br />\n<b>Warning</b>:  Undefined variable $arResult in \
    <b>/home/bitrix/www/bitrix/php_interface/init.php</b> on line <b>12</b><br />\n";

/// The output of a template at the end of every page.
const NOISE_AFTER: &[u8] = b"\n<!-- 0.0312 s, 14 queries -->\n";

const JSON: &str = "application/json; charset=utf-8";

/// The portal's response to a call.
pub(crate) fn answer(executed: &ExecutedCall) -> Answer {
    let (status, mut body) = match &executed.outcome {
        Ok(outcome) => (StatusCode::OK, success(outcome, executed)),
        Err(refusal) => failure(refusal, executed),
    };
    if executed.switches.noise_after {
        body.extend_from_slice(NOISE_AFTER);
    }
    let mut answer = json(status, body.into());
    add_headers(answer.headers_mut(), executed);
    answer
}

/// A body with the headers of every JSON response.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let fixed = [
        (CONTENT_TYPE, JSON),
        (HeaderName::from_static("access-control-allow-origin"), "*"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
    answer.headers_mut().extend(fixed);
    answer
}

/// `Date` follows the portal's clock. In the cloud, the headers also show the processing time.
fn add_headers(headers: &mut HeaderMap, executed: &ExecutedCall) {
    let seconds = executed.finished.duration_since(executed.started).as_secs_f64();
    let seconds = |share: f64| HeaderValue::try_from(format!("{:.10}", seconds * share)).ok();
    let owner = HeaderValue::try_from(&executed.origin);
    headers.extend(date(executed.finished));
    // Approximately the shares that are observed on real portals.
    let named = [
        (HeaderName::from_static("x-bitrix-rest-application"), owner.ok()),
        (HeaderName::from_static("x-bitrix-rest-time"), seconds(1.0)),
        (HeaderName::from_static("x-bitrix-rest-user-time"), seconds(0.5)),
        (HeaderName::from_static("x-bitrix-rest-system-time"), seconds(0.25)),
    ];
    headers.extend(named.into_iter().filter_map(|(name, value)| Some((name, value?))));
}

/// The header `Date`, from the portal's clock.
pub(crate) fn date(at: Timestamp) -> Option<(HeaderName, HeaderValue)> {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
    Some((DATE, HeaderValue::try_from(date).ok()?))
}

fn failure(refusal: &Refusal, executed: &ExecutedCall) -> (StatusCode, Vec<u8>) {
    let mut body = opening(executed, 0);
    body.extend_from_slice(php_json::render(&refusal.body).as_bytes());
    (refusal.status(), body)
}

fn success(outcome: &Outcome, executed: &ExecutedCall) -> Vec<u8> {
    let mut body = match outcome {
        Outcome::Page(page) => opening(executed, page::size_hint(page)),
        Outcome::List(_) | Outcome::Value(_) | Outcome::Written(_) | Outcome::Batch(_) => {
            opening(executed, 0)
        }
    };
    body.extend_from_slice(b"{\"result\":");
    write_outcome(&mut body, outcome, &executed.switches);
    if let Outcome::List(list) = outcome {
        write_place(&mut body, list);
    }
    body.extend_from_slice(b",\"time\":");
    write_time(&mut body, executed);
    body.push(b'}');
    body
}

/// `total` and `next` are siblings of `result` (PORTAL.md 8).
fn write_place(body: &mut Vec<u8>, list: &Listing) {
    // Writing to a Vec cannot fail.
    let _infallible = write!(body, r#","total":{}"#, list.total);
    if let Some(next) = list.next {
        let _infallible = write!(body, r#","next":{next}"#);
    }
}

/// A buffer for the body, with the bytes that a badly edited PHP file prints before it.
fn opening(executed: &ExecutedCall, size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(size + 512);
    if executed.switches.bom {
        body.extend_from_slice(BOM);
    }
    if executed.switches.noise_before {
        body.extend_from_slice(NOISE_BEFORE);
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::rest::outcome::OperatingTime;
    use crate::state::switches::Switches;

    use super::*;

    fn answered(switches: Switches) -> (Vec<u8>, Value) {
        let started = Timestamp::from_millisecond(1_787_206_502_250).unwrap();
        let finished = Timestamp::from_millisecond(1_787_206_502_750).unwrap();
        let outcome = Ok(Outcome::Value(Value::Bool(true)));
        let operating_time = OperatingTime { operating_s: 0.0, reset_at_s: 1_787_207_102 };
        let answer = answer(&ExecutedCall {
            outcome,
            operating_time,
            origin: "webhook1".into(),
            started,
            finished,
            switches,
        });
        assert_eq!(answer.headers()[DATE], "Thu, 20 Aug 2026 06:15:02 GMT");
        let body = answer.into_body().to_vec();
        let json = serde_json::from_slice(body.strip_prefix(BOM).unwrap_or(&body)).unwrap();
        (body, json)
    }

    #[test]
    fn start_is_truncated_and_duration_with_it() {
        let (body, json) = answered(Switches::default());
        assert!(body.starts_with(br#"{"result":true,"time":{"start":1787206502,"finish":1787206502.75,"#));
        assert_eq!(json["time"]["duration"], 0.75);
        assert_eq!(json["time"]["processing"], 0);
        assert_eq!(json["time"]["date_start"], "2026-08-20T09:15:02+03:00");
        assert_eq!(json["time"]["operating_reset_at"], 1_787_207_102);
    }

    #[test]
    fn older_and_odder_envelopes() {
        let older = Switches { float_time: true, operating: false, ..Switches::default() };
        let time = answered(older).1["time"].clone();
        assert_eq!((&time["start"], &time["duration"]), (&1_787_206_502.25.into(), &0.5.into()));
        assert!(time.get("operating").is_none() && time.get("operating_reset_at").is_none());

        let odd = Switches { bom: true, time_as_strings: true, ..Switches::default() };
        let (body, json) = answered(odd);
        assert!(body.starts_with(BOM));
        assert_eq!(json["time"]["start"], "1787206502");
    }
}
