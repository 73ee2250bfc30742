//! The error for a file that is not valid TOML: the position, a hint, and the line itself if nothing on it
//! can be a secret.

use std::path::Path;

use crate::config::error::ConfigError;
use crate::config::parse::lines::Lines;
use crate::config::secrets::secret_file::is_utf16;

/// Keys whose values are never secret; lines with other keys are not shown. No key here is the end of a
/// secret key's name, because a line that was split in two must not be mistaken for one of these.
const HARMLESS_KEYS: [&str; 49] = [
    "batch",
    "bot_id",
    "breaker",
    "burst",
    "busy",
    "compress",
    "concurrency",
    "confirm_lag",
    "error",
    "events",
    "every",
    "failures",
    "format",
    "gap_events",
    "idle",
    "idle_max",
    "keep",
    "kind",
    "level",
    "limit",
    "listen",
    "max",
    "max_age",
    "max_event_age",
    "bytes",
    "max_size",
    "min",
    "min_version",
    "mode",
    "ordering",
    "outcomes",
    "path",
    "plan",
    "poll",
    "private_networks",
    "rate",
    "retry",
    "rotate",
    "show_payloads",
    "shutdown_grace",
    "size",
    "sources",
    "start",
    "state",
    "timeout",
    "type",
    "warning",
    "with_user_events",
    "hold",
];

/// Keys whose names may be shown, but not their values.
const SECRET_KEYS: [&str; 24] = [
    "auth",
    "bot_token",
    "bot_token_file",
    "client_id",
    "client_secret",
    "client_secret_file",
    "grant",
    "headers",
    "oauth",
    "password",
    "password_file",
    "portal",
    "proxy",
    "proxy_file",
    "scope",
    "secrets",
    "secrets_file",
    "server",
    "token",
    "token_file",
    "url",
    "url_file",
    "webhook_url",
    "webhook_url_file",
];

/// Words that make a line suspect, whatever its key is.
const SUSPECT: [&str; 15] = [
    "secret", "token", "passw", "url", "proxy", "auth", "header", "key", "code", "client", "cred", "://",
    "/rest/", "whsec", "whsk",
];

/// A run of at least this many letters and digits, with both among them, may be a secret.
const SECRET_MIN: usize = 10;

/// At most this many characters of a line are shown.
const SHOWN_MAX: usize = 120;

/// The error at byte `offset` of `file`, with the parser's `message`.
pub(crate) fn error(file: &Path, bytes: &[u8], offset: usize, message: &str) -> ConfigError {
    let lines = Lines::of(bytes);
    let (line, column) = lines.position(bytes, offset);
    let text = String::from_utf8_lossy(lines.text(bytes, line));
    let text = text.trim_end();
    let message = if bytes.is_empty() || !is_utf16(bytes) {
        hint(text, column, message).unwrap_or_else(|| first_of_key(bytes, &lines, line, column, message))
    } else {
        "is UTF-16: save it as UTF-8".to_owned()
    };
    let excerpt = is_harmless(text).then(|| excerpt(text, line, column));
    ConfigError::Syntax { file: file.to_owned(), line, column, message, excerpt }
}

/// The line, with a caret below the position.
fn excerpt(text: &str, line: usize, column: usize) -> String {
    let text = without_comment(text);
    let number = line.to_string();
    let column = column.min(text.chars().count() + 1);
    // A tab stays a tab, so that the caret is in the right column.
    let indent: String = text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    format!("{number} | {text}\n{} | {indent}^", " ".repeat(number.len()))
}

/// A clearer message than the parser's for the most common mistakes.
fn hint(text: &str, column: usize, message: &str) -> Option<String> {
    let at = text.char_indices().nth(column - 1).map_or(text.len(), |(at, _)| at);
    let is_typographic = |c: char| matches!(c, '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}');
    let is_of_value = message.starts_with("invalid ")
        || message.starts_with("string values")
        || message.contains("missing value");
    if is_of_value && let Some(value) = value_at(text, at) {
        return match value.chars().next() {
            None => Some("there is no value behind the `=`".to_owned()),
            Some(first) if is_typographic(first) => {
                Some("texts need plain quotes, `\"`, and not those of a word processor".to_owned())
            }
            Some('"' | '\'') => {
                Some("the text has no quote at its end".to_owned()).filter(|_| message.contains("string"))
            }
            Some('[' | '{') => None,
            Some(_) if ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word)) => {
                Some("`true` and `false` are written in small letters".to_owned())
            }
            Some(_) => Some("texts need quotes, as in `level = \"info\"`".to_owned()),
        };
    }
    if message.starts_with("key with no value") && text[..at].trim_end().ends_with(':') {
        return Some("a key and its value are joined by `=`, not by `:`".to_owned());
    }
    if message.contains("unicode") || message.contains("escape") {
        let rule = "in double quotes a backslash begins an escape: write it twice, or take single quotes";
        return Some(format!("{message}: {rule}"));
    }
    None
}

/// The value on the line that contains or begins at byte `at`. It starts after the preceding `=`, `[` or
/// comma.
fn value_at(text: &str, at: usize) -> Option<&str> {
    let open = text[..at].rfind(['=', ',', '[', '{'])?;
    let value = text[open + 1..].trim_start();
    let end = if value.starts_with(['"', '\'']) {
        value.len()
    } else {
        value.find(['#', ',', ']', '}']).unwrap_or(value.len())
    };
    Some(value[..end].trim_end())
}

/// For a duplicate key, names the key and its first line. For any other error, returns the parser's message.
fn first_of_key(bytes: &[u8], lines: &Lines, line: usize, column: usize, message: &str) -> String {
    if message != "duplicate key" {
        return message.to_owned();
    }
    let text = |line| String::from_utf8_lossy(lines.text(bytes, line)).into_owned();
    let this = text(line);
    let header =
        |text: &str| text.trim_start().starts_with('[').then(|| without_comment(text).trim().to_owned());
    let name = |text: &str| text.trim_start().split(['=', ' ', '\t']).next().unwrap_or_default().to_owned();
    let first = match header(&this) {
        Some(own) => (1..line).find(|line| header(&text(*line)).as_ref() == Some(&own)),
        None => (1..line)
            .rev()
            .take_while(|line| header(&text(*line)).is_none())
            .find(|line| name(&text(*line)) == name(&this)),
    };
    let key: String = this
        .chars()
        .skip(column - 1)
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        .collect();
    let is_known =
        HARMLESS_KEYS.contains(&key.as_str()) || SECRET_KEYS.contains(&key.as_str()) || is_harmless(&this);
    let key = if is_known && !key.is_empty() { format!(" `{key}`") } else { String::new() };
    match first {
        Some(first) => format!("duplicate key{key}: line {first} has it already, so keep one of them"),
        None => format!("duplicate key{key}: it is set above already, so keep one of them"),
    }
}

/// True if nothing on the line can be a secret. In doubt, the line is not shown.
fn is_harmless(text: &str) -> bool {
    let text = without_comment(text);
    let is_of_key = match text.split_once('=') {
        Some((key, _)) => key.trim().rsplit('.').next().is_some_and(|last| HARMLESS_KEYS.contains(&last)),
        None => {
            text.trim_start().starts_with('[')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "[]_-. ".contains(c))
        }
    };
    let folded = text.to_lowercase();
    let is_suspect = SUSPECT.iter().any(|word| folded.contains(word))
        || text.split(|c: char| !c.is_alphanumeric()).any(is_like_secret);
    is_of_key
        && !is_suspect
        && text.chars().count() <= SHOWN_MAX
        && !text.chars().any(|c| c.is_control() && c != '\t')
}

fn is_like_secret(word: &str) -> bool {
    word.chars().count() >= SECRET_MIN
        && word.contains(char::is_numeric)
        && word.contains(char::is_alphabetic)
}

/// Removes the comment, because the text after the first `#` can be anything.
fn without_comment(text: &str) -> &str {
    text.split('#').next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_only_when_nothing_on_it_can_be_a_secret() {
        for line in [
            "level = info",
            "[log",
            "  poll = { idle = 5s }",
            "log.level = info # a comment",
            "state = /var/lib/b24relay/b24relay.db",
        ] {
            assert!(is_harmless(line), "{line}");
        }
        for line in [
            "webhook_url = x",
            "url = x",
            "l = x",
            "x",
            "'x' = 1",
            "level = \"info\" token = x",
            "level = https://a.example/rest/1/x/",
            "mode = a1b2c3d4e5f6",
            "[sinks.\"x\"",
            "[sinks.crm.auth",
            "headers.mode = x",
        ] {
            assert!(!is_harmless(line), "{line}");
        }
        for key in HARMLESS_KEYS {
            assert!(SECRET_KEYS.iter().all(|secret| !secret.ends_with(key)), "{key}");
        }
    }
}
