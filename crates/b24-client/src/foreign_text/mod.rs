//! Makes text from other systems safe to show: limited in length, without our secrets, and without characters
//! that are invisible, move the cursor or change the text direction. Pure functions.

mod characters; // those that break a line or cannot be seen
mod encodings; // of a secret in a text
mod redaction; // removes secrets

use std::borrow::Cow;

use characters::{is_break, is_invisible};
pub use redaction::without;
use redaction::without_cut;

/// The maximum length of text that is searched for secrets, in bytes. This is far more than is shown of any
/// text.
const INPUT_MAX: usize = 16 * 1024;

/// `text` on one line of at most `max` bytes, with `***` for each of `secrets`.
pub fn shown<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>, max: usize) -> String {
    if text.len() > INPUT_MAX {
        return shown_cut(text, secrets, max);
    }
    beginning(&plain(&without(text, secrets)), max).to_owned()
}

/// Like [`shown`], for a truncated text. Also removes a possible start of a secret at its end.
pub fn shown_cut<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>, max: usize) -> String {
    beginning(&plain(&without_cut(beginning(text, INPUT_MAX), secrets)), max).to_owned()
}

/// `text` on one line: control characters and line breaks become spaces, invisible characters are removed.
pub fn plain(text: &str) -> String {
    let spaced = text.chars().map(|c| if is_break(c) { ' ' } else { c });
    spaced.filter(|c| !is_invisible(*c)).collect()
}

/// `text` with control characters and invisible characters escaped as in JSON (`\u202e`). Line feeds and tabs
/// stay.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\n' | '\t') || !(is_break(c) || is_invisible(c)) {
            shown.push(c);
        } else {
            push_spelled(&mut shown, c);
        }
    }
    shown
}

/// Like [`visible`], for JSON, or for a line of text that may contain our escape sequences. Of the control
/// characters, only those that JSON allows in strings (DEL and Latin-1) are escaped; a carriage return
/// becomes a space, and the others stay.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_odd =
        |c: char| matches!(c, '\r' | '\u{7f}') || (!c.is_ascii() && (is_break(c) || is_invisible(c)));
    if !json.contains(is_odd) {
        return json.into();
    }
    json.chars()
        .fold(String::with_capacity(json.len()), |mut shown, c| {
            match c {
                '\r' => shown.push(' '),
                c if is_odd(c) => push_spelled(&mut shown, c),
                c => shown.push(c),
            }
            shown
        })
        .into()
}

fn push_spelled(shown: &mut String, c: char) {
    shown.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
}

/// True if `c` is visible and does not change the text direction.
pub fn is_visible(c: char) -> bool {
    c.is_ascii_whitespace() || !(is_break(c) || is_invisible(c))
}

/// The first `max` bytes of `text`, or slightly fewer to keep the last character complete.
pub fn beginning(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_control_characters_are_gone() {
        let text = plain(&without("see /x/S3cr3t\u{1b}[31m T0KEN\u{9b}", ["s3cr3t", "t0ken", ""]));
        assert_eq!(text, "see /x/*** [31m *** ");
    }

    #[test]
    fn one_line_holds_nothing_that_cannot_be_seen() {
        let text = "a\r\nb\u{2028}c\u{202e}d\u{200b}e\u{2066}f\u{feff}g\u{85}h\u{e0041}\u{fe0f}\u{ad}";
        assert_eq!(plain(text), "a  b cdefg h");
    }

    #[test]
    fn what_cannot_be_seen_is_spelled() {
        assert_eq!(
            visible("a\u{202e}b\u{200b}\u{1b}[31m\u{e0041}\rc"),
            r"a\u202eb\u200b\u001b[31m\udb40\udc41\u000dc"
        );
        assert_eq!(visible("жук, 虫\n\t🐞"), "жук, 虫\n\t🐞");
    }

    #[test]
    fn json_keeps_its_meaning_and_holds_nothing_that_cannot_be_seen() {
        let json = "{\r\n \"a\": \"\u{202e}\u{85}\u{2028}\u{e0041}\u{7f}\\u001b\" }";
        let shown = visible_json(json);
        assert_eq!(shown, "{ \n \"a\": \"\\u202e\\u0085\\u2028\\udb40\\udc41\\u007f\\u001b\" }");
        let [before, after] =
            [json, &shown].map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap());
        assert_eq!(before, after);
        assert!(matches!(visible_json("{\"жук\": \"\\n\"}\n\u{1b}[0m"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_long_text_is_cut_before_it_is_searched_and_shows_no_beginning_of_a_secret() {
        for shift in 0..20 {
            let text = format!("{}s3cr3tc0de", "x".repeat(INPUT_MAX - shift));
            let text = shown(&text, ["s3cr3tc0de"], usize::MAX);
            assert!(text.trim_end_matches("***").bytes().all(|byte| byte == b'x'), "{shift}");
        }
    }

    #[test]
    fn a_beginning_cuts_no_character() {
        assert_eq!((beginning("жук", 3), beginning("жук", 100)), ("ж", "жук"));
    }
}
