//! JSON in the style of the portal's PHP: raw UTF-8, `\/`, and \u escapes for `< > & ' "` (PORTAL.md 8).

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

/// Renders `value` like the portal.
pub(crate) fn render(value: &impl Serialize) -> String {
    let mut json = Vec::with_capacity(1024);
    // Only a map with keys that are not strings could fail here, and the sandbox has none.
    if value.serialize(&mut Serializer::with_formatter(&mut json, PhpFormatter)).is_err() {
        return "null".into();
    }
    String::from_utf8(json).unwrap_or_default()
}

/// `JSON_HEX_TAG | JSON_HEX_AMP | JSON_HEX_APOS | JSON_HEX_QUOT | JSON_UNESCAPED_UNICODE`.
struct PhpFormatter;

impl Formatter for PhpFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some((at, escaped)) = rest.char_indices().find_map(|(at, c)| Some((at, escape(c)?))) {
            writer.write_all(&rest.as_bytes()[..at])?;
            writer.write_all(escaped.as_bytes())?;
            rest = rest[at..].strip_prefix(|_: char| true).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        match escape {
            CharEscape::Quote => writer.write_all(br"\u0022"),
            other => CompactFormatter.write_char_escape(writer, other),
        }
    }
}

/// PHP's escape for `c`, if other encoders write it unescaped. By default, PHP also escapes the two line
/// separators.
fn escape(c: char) -> Option<&'static str> {
    match c {
        '/' => Some(r"\/"),
        '<' => Some(r"\u003C"),
        '>' => Some(r"\u003E"),
        '&' => Some(r"\u0026"),
        '\'' => Some(r"\u0027"),
        '\u{2028}' => Some(r"\u2028"),
        '\u{2029}' => Some(r"\u2029"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_as_php_does() {
        let text = "<a href=\"/x\">Ты & я's</a>\n🚀\u{2028}\\";
        let json = render(&text);
        assert_eq!(
            json,
            r#""\u003Ca href=\u0022\/x\u0022\u003EТы \u0026 я\u0027s\u003C\/a\u003E\n🚀\u2028\\""#
        );
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
