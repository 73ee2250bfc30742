//! A response that is not exactly one JSON object: how it is described without its content, and how the
//! caller reacts.
//!
//! Text around the JSON is never ignored, because the code that printed it may have changed the events as
//! well. Only a refusal inside such a response is read, because a refusal confirms and delivers nothing.

use std::ops::Range;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use serde::de::IgnoredAny;

use crate::answer::shapes::Opened;
use crate::class::{self, Class, Hint, Verdict};

/// The number of positions that are tried as the start of the JSON.
const BEGINNINGS_MAX: usize = 64;

const AROUND: Hint = Hint::same("PHP output around the JSON: turn off `display_errors` on the portal");
const ENCODED: Hint = Hint::same(
    "a proxy, CDN or web server in front of the portal encodes answers although this was not asked for: turn that off there",
);
const EMPTY: Hint = Hint::same(
    "the portal answers nothing: look for a fatal error in its PHP log, such as `memory_limit` or `max_execution_time`",
);
const NOT_GZIP: Hint = Hint::same(
    "the answer says that it is gzip and is not: correct the proxy or web server in front of the portal",
);

/// The form of a response without usable JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Empty,
    /// It has a `Content-Encoding` that was not requested.
    Encoded,
    /// There is text before or after one complete JSON object, which has this range.
    Around(Range<usize>),
    /// Other text that is not JSON.
    NotJson,
}

impl Form {
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        if body.trim_ascii().is_empty() {
            return Self::Empty;
        }
        // A requested encoding is already decoded, and its header is removed.
        if header(headers, &CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Self::Encoded;
        }
        match object_in(body) {
            Some(range) if body[range.clone()].len() < body.trim_ascii().len() => Self::Around(range),
            _ => Self::NotJson,
        }
    }

    /// A description; `None` if the response simply comes from another server.
    pub(crate) fn words(&self) -> Option<&'static str> {
        match self {
            Self::Encoded => Some("an answer in a coding that was not asked for"),
            Self::Around(_) => Some("an answer with text around the JSON"),
            Self::Empty | Self::NotJson => None,
        }
    }

    /// The verdict on it, with this status.
    pub(crate) fn verdict(&self, status: u16, body: &[u8]) -> Verdict {
        let hint = match self {
            Self::Empty => EMPTY,
            Self::Encoded => ENCODED,
            Self::Around(_) => AROUND,
            Self::NotJson => return not_json(status, body),
        };
        match status {
            200..=299 => Verdict::new(Class::RetryBounded, hint),
            _ => not_json(status, body),
        }
    }

    /// Details that help to find its origin: content type, encoding, size, and the position of the JSON.
    pub(crate) fn evidence(&self, headers: &HeaderMap, body: &[u8]) -> String {
        let shown = |name| header(headers, name).unwrap_or("none");
        let place = match self {
            Self::Around(Range { start, end }) => format!(", JSON from byte {start} to byte {end}"),
            Self::Empty | Self::Encoded | Self::NotJson => String::new(),
        };
        format!(
            "content type {}, coding {}, {} bytes{place}",
            shown(&CONTENT_TYPE),
            shown(&CONTENT_ENCODING),
            body.len()
        )
    }
}

/// The verdict on a response whose body was cut off or could not be decoded, for this reason.
pub(crate) fn broken(reason: &str) -> Verdict {
    // A truncated gzip body is a connection error and temporary. A body that never was gzip is not.
    if reason.contains("gzip header") {
        return Verdict::new(Class::RetryBounded, NOT_GZIP);
    }
    Verdict::new(Class::Retry, Hint::NONE)
}

fn not_json(status: u16, body: &[u8]) -> Verdict {
    let is_page = body.trim_ascii_start().starts_with(b"<");
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    match class::of_status(status) {
        // A success that was cut off or damaged on its way. It contains nothing usable, so no state has
        // changed.
        _ if status == 200 && !is_page && !is_json => Verdict::new(Class::Retry, Hint::NONE),
        // A refusal that was cut off. Its code may be a temporary one, so the first such response does not
        // alert the operator.
        verdict if verdict.class == Class::Operator && is_object && !is_json => {
            Verdict { class: Class::RetryBounded, ..verdict }
        }
        verdict => verdict,
    }
}

/// The refusal inside `body`, if there is one: inside other text, or in an encoding other than UTF-8.
pub(crate) fn refusal_in(body: &[u8]) -> Option<String> {
    let object = String::from_utf8_lossy(&body[object_in(body)?]).into_owned();
    let is_refusal =
        Opened::<IgnoredAny>::parse(object.as_bytes()).is_ok_and(|answer| answer.error.is_some());
    is_refusal.then_some(object)
}

/// The range in `body` of one complete response.
fn object_in(body: &[u8]) -> Option<Range<usize>> {
    let beginnings = body.iter().enumerate().filter(|(_, byte)| **byte == b'{').map(|(at, _)| at);
    // An object inside other JSON is not a response, even if that JSON is incomplete.
    let is_inside = |start: usize| matches!(body[..start].trim_ascii_end().last(), Some(b'[' | b',' | b':'));
    beginnings.take(BEGINNINGS_MAX).filter(|start| !is_inside(*start)).find_map(|start| {
        let mut values = serde_json::Deserializer::from_slice(&body[start..]).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let range = start..start + values.byte_offset();
        is_answer(&body[range.clone()]).then_some(range)
    })
}

fn is_answer(object: &[u8]) -> bool {
    let object = String::from_utf8_lossy(object);
    Opened::<IgnoredAny>::parse(object.as_bytes())
        .is_ok_and(|answer| answer.result.is_some() || answer.error.is_some())
}

fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn form(body: &[u8]) -> Form {
        Form::of(&HeaderMap::new(), body)
    }

    const ANSWER: &str = r#"{"result":{"events":[]}}"#;

    #[test]
    fn text_around_the_json_is_found_and_its_place_told() {
        for (before, behind) in [
            ("<br />\n<b>Warning</b>: Undefined variable $x<br />\n", ""),
            ("\nWarning: {closure}() is gone\n", ""),
            ("", "\n<!-- cached {1} -->"),
            ("", "\0"),
            ("Notice: a", "Notice: b"),
        ] {
            let body = format!("{before}{ANSWER}{behind}");
            let range = before.len()..before.len() + ANSWER.len();
            let found = form(body.as_bytes());
            assert_eq!(found, Form::Around(range.clone()), "{body:?}");
            let verdict = found.verdict(200, body.as_bytes());
            assert!(verdict.class == Class::RetryBounded && verdict.hint == AROUND, "{body:?}");
            let evidence = found.evidence(&HeaderMap::new(), body.as_bytes());
            let place = format!("{} bytes, JSON from byte {} to byte {}", body.len(), range.start, range.end);
            assert!(evidence.ends_with(&place), "{evidence}");
        }
    }

    #[test]
    fn a_page_a_torn_object_and_foreign_json_are_no_json_with_text_around_it() {
        for body in [
            "<html>{\"a\":1}</html>",
            r#"{"result":{"events":["#,
            "[]",
            r#"{"result":1"#,
            "{{{{{{",
            r#"[{}, {"error":"A"}]"#,
            r#"{"result": {"error":"A"}, "ti"#,
        ] {
            assert_eq!(form(body.as_bytes()), Form::NotJson, "{body}");
        }
        assert_eq!(form(b" \r\n"), Form::Empty);
        let coded = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("br"))]);
        assert_eq!(Form::of(&coded, b"\x8b\x02\x80{}\x03"), Form::Encoded);
        // The status still decides if it is more specific than the body.
        assert_eq!(Form::Empty.verdict(503, b"").class, Class::Rate);
        assert_eq!(Form::Encoded.verdict(200, b"").class, Class::RetryBounded);
    }

    #[test]
    fn a_refusal_is_read_whatever_is_around_it_and_in_any_encoding() {
        let refusal = r#"{"error":"expired_token","error_description":"x"}"#;
        assert_eq!(refusal_in(format!("<br />Notice{refusal}\n").as_bytes()).as_deref(), Some(refusal));
        assert!(refusal_in(b"{\"error\":\"A\",\"error_description\":\"\xcd\xe5\"}").is_some());
        assert_eq!(refusal_in(ANSWER.as_bytes()), None);
        assert_eq!(refusal_in(b"<html>{\"a\":1}</html>"), None);
    }
}
