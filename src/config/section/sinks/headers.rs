//! `sinks.NAME.headers`: extra headers from the operator, each given as `NAME` or in a file as `NAME_file`.

use std::collections::HashMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret_file::{SecretFiles, Shows};
use crate::config::secrets::secret_line;

/// More headers than this are a mistake, and most receivers would refuse them.
const MOST: usize = 32;

/// Headers that only the relay may set, because they describe the body or control the connection.
const OURS: [&str; 15] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "accept-encoding",
];

/// Prefixes of header names that describe an event.
const OUR_BEGINNINGS: [&str; 2] = ["webhook-", "ce-"];

/// Reads the headers and reports violations. `has_auth` means that `Authorization` is already set.
pub(crate) fn read(table: &mut Table<'_>, files: &SecretFiles, has_auth: bool) -> HeaderMap {
    let count = table.len();
    if count > MOST {
        table.report_self(format!("there must be at most {MOST}, not {count}"));
    }
    let mut seen = HashMap::new();
    let given = table.entries(|key, value| {
        let (name, is_file) = key.strip_suffix("_file").map_or((key, false), |name| (name, true));
        let name = header_name(name, has_auth)?;
        if let Some(other) = seen.insert(name.clone(), key.to_owned()) {
            return Err(format!("is given twice, also as `{other}`: keep one"));
        }
        let text = value::secret(value)?;
        let text = if is_file {
            files.line(&text, Shows::PathForCertain)?.0
        } else {
            files.note_inline(value);
            text
        };
        Ok((name, header_value(&text)?))
    });
    given.into_iter().collect()
}

fn header_name(name: &str, has_auth: bool) -> Result<HeaderName, String> {
    let Ok(name) = HeaderName::try_from(name) else {
        return Err("is not the name of a header: letters, digits and `-`".to_owned());
    };
    if OURS.contains(&name.as_str()) || OUR_BEGINNINGS.iter().any(|own| name.as_str().starts_with(own)) {
        return Err("is a header that b24relay sets itself: remove it".to_owned());
    }
    if has_auth && name == "authorization" {
        return Err("is what `auth` sets: keep one of the two".to_owned());
    }
    Ok(name)
}

/// Parses the value, which is never shown.
pub(crate) fn header_value(text: &str) -> Result<HeaderValue, String> {
    let text = secret_line::of_value(text);
    secret_line::refuse_invisible(text)?;
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte);
    if text.is_empty() || !text.bytes().all(is_plain) {
        return Err("must be one line of plain ASCII".to_owned());
    }
    let mut value = HeaderValue::try_from(text).map_err(|_| "must be one line of plain ASCII".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
