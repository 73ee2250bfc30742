//! How violations quote keys and values: on one line, not too long, and never a URL.

use std::path::PathBuf;

use config::{Value, ValueKind};

/// The value in backticks, or its type if it has no short form.
pub(crate) fn value(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(string) => text(string),
        ValueKind::Boolean(boolean) => format!("`{boolean}`"),
        ValueKind::I64(number) => format!("`{number}`"),
        ValueKind::Float(number) => format!("`{number}`"),
        _ => kind(value).to_owned(),
    }
}

/// A text in backticks, on one line and not too long. A URL is not repeated, because it may hold a secret.
pub(crate) fn text(text: &str) -> String {
    if is_like_url(text) { "a URL".to_owned() } else { format!("`{}`", escaped(text)) }
}

/// A text on one line and not too long, for keys that are not known to be harmless.
pub(crate) fn escaped(text: &str) -> String {
    const LONGEST: usize = 80;
    if is_like_url(text) {
        return "***".to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    if short.contains(char::is_control) { short.escape_debug().to_string() } else { short }
}

/// Paths in backticks.
pub(crate) fn paths(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    paths.join(", ")
}

/// True if a text is a URL, or a webhook's address without its scheme.
pub(crate) fn is_like_url(text: &str) -> bool {
    text.contains("://") || text.contains("/rest/")
}

/// The type of a value.
pub(crate) fn kind(value: &Value) -> &'static str {
    match &value.kind {
        ValueKind::Nil => "a date",
        ValueKind::Boolean(_) => "a boolean",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a number",
        ValueKind::Float(_) => "a fraction",
        ValueKind::String(_) => "a text",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
    }
}

/// A key inside a path of keys, quoted if TOML requires it.
pub(crate) fn key(name: &str) -> String {
    if is_bare(name) {
        return name.to_owned();
    }
    // Quoted keys are for hosts. A key with more of a URL may contain a secret.
    let shown = if name.contains(['/', '@', '?']) { "***".to_owned() } else { escaped(name) };
    format!("\"{}\"", shown.replace('"', "\\\""))
}

/// True if TOML accepts the key without quotes.
pub(crate) fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_stays_on_one_line_and_is_never_a_url() {
        assert_eq!(text("a\nb\u{1b}"), "`a\\nb\\u{1b}`");
        assert_eq!(text(&"x".repeat(500)).chars().count(), 83);
        assert_eq!(text("https://a.example/rest/1/s3cr3t/"), "a URL");
        assert_eq!(text("a.example/rest/1/s3cr3t/"), "a URL");
    }

    #[test]
    fn keys_are_quoted_where_toml_wants_it_and_show_no_more_of_a_url_than_its_host() {
        assert_eq!(key("support-2_a"), "support-2_a");
        for name in ["a.example", "a.example:8080", "[::1]:80", "", "a b"] {
            assert_eq!(key(name), format!("\"{name}\""));
        }
        assert_eq!(key("a\"b"), "\"a\\\"b\"");
        for name in ["https://s3cr3t", "a.example/s3cr3t", "me:s3cr3t@a.example", "a.example?s3cr3t"] {
            assert_eq!(key(name), "\"***\"");
        }
    }
}
