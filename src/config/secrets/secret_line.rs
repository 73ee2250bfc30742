//! Extracts a secret from a line of text. Characters that an editor or a shell added by mistake are removed.
//! Other characters that cannot belong to a secret are errors, and the secret itself is never repeated.

use b24_client::foreign_text::is_visible;

/// Some editors put this at the start of a file to mark it as UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Quotation marks that people and programs put around a text: the opening and the closing one.
const QUOTES: [(char, char); 8] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('<', '>'),
    ('\u{201c}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{ab}', '\u{bb}'),
];

/// A text from a key or a variable, without surrounding white space and quotation marks.
pub(crate) fn of_value(text: &str) -> &str {
    without_mark(text).trim()
}

/// The only line of a file that is neither empty nor a comment (`#`).
pub(crate) fn of_file(text: &str) -> Result<&str, String> {
    let lines = lines_of_file(text);
    match (&lines[..], without_mark(text).trim().is_empty()) {
        ([(_, line)], _) => Ok(line),
        ([], true) => Err("is empty".to_owned()),
        ([], false) => Err("holds nothing but comments".to_owned()),
        (lines, _) => Err(format!("holds {} lines, and must hold one", lines.len())),
    }
}

/// The lines of a file that are neither empty nor comments, each with its number. In a file with one line,
/// `#` does not start a comment, because the line may be a password.
pub(crate) fn lines_of_file(text: &str) -> Vec<(usize, &str)> {
    let numbered = (1..).zip(without_mark(text).lines().map(str::trim));
    let all: Vec<_> = numbered.filter(|(_, line)| !line.is_empty()).collect();
    match &all[..] {
        [(_, only)] if !is_remark(only) => all,
        _ => all.into_iter().filter(|(_, line)| !line.starts_with('#')).collect(),
    }
}

fn is_remark(line: &str) -> bool {
    line.starts_with('#') && line.contains(char::is_whitespace)
}

/// `text` without a byte order mark at its start.
pub(crate) fn without_mark(text: &str) -> &str {
    text.trim_start_matches(BYTE_ORDER_MARK)
}

/// `text` without quotation marks around it.
pub(crate) fn unquoted(text: &str) -> &str {
    let inner = QUOTES.iter().find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close));
    inner.map_or(text, str::trim)
}

/// Refuses invisible characters, which cannot belong to a secret.
pub(crate) fn refuse_invisible(text: &str) -> Result<(), String> {
    refuse(
        text,
        is_invisible,
        |c| if c.is_control() { "a control character" } else { "an invisible character" },
    )
}

/// Refuses white space, which cannot belong to a secret.
pub(crate) fn refuse_blanks(text: &str) -> Result<(), String> {
    refuse(text, char::is_whitespace, |_| "white space")
}

fn refuse(text: &str, is_odd: fn(char) -> bool, kind: fn(char) -> &'static str) -> Result<(), String> {
    let Some((at, odd)) = text.chars().enumerate().find(|(_, c)| is_odd(*c)) else { return Ok(()) };
    let (kind, code) = (kind(odd), format!("U+{:04X}", u32::from(odd)));
    Err(match at {
        0 => format!("begins with {kind} {code}: remove it"),
        _ if at + 1 == text.chars().count() => format!("ends with {kind} {code}: remove it"),
        _ => format!("has {kind} {code} as character {}: remove it", at + 1),
    })
}

/// True for characters without a width or a glyph. White space is checked separately.
fn is_invisible(c: char) -> bool {
    let is_filler = matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}');
    (is_filler || !is_visible(c)) && !c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_line_besides_comments_and_blanks() {
        for text in [
            "s3cr3t",
            "\u{feff}s3cr3t\r\n",
            "\n\n  s3cr3t\t\n\n",
            "# of the portal\ns3cr3t\n#end\n",
            "\u{a0}s3cr3t",
        ] {
            assert_eq!(of_file(text), Ok("s3cr3t"), "{text:?}");
        }
        assert_eq!(of_file("#s3cr3t\n"), Ok("#s3cr3t"), "a password may begin so");
        for (text, rule) in [
            ("", "is empty"),
            ("\u{feff} \r\n", "is empty"),
            ("# put it here\n", "nothing but comments"),
            ("# a\n#b\n", "nothing but comments"),
            ("s3cr3t\ns3cr3t\n#\n", "holds 2 lines"),
        ] {
            let refusal = of_file(text).unwrap_err();
            assert!(refusal.contains(rule) && !refusal.contains("s3cr3t"), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_named_with_its_place() {
        for (text, words) in [
            ("\u{200b}s3cr3t", "begins with an invisible character U+200B"),
            ("s3cr3t\u{feff}", "ends with an invisible character U+FEFF"),
            ("s3\u{ad}cr3t", "has an invisible character U+00AD as character 3"),
            ("s3\0cr3t", "has a control character U+0000 as character 3"),
            ("s3cr3t\u{fe0f}", "ends with an invisible character U+FE0F"),
        ] {
            let refusal = refuse_invisible(text).unwrap_err();
            assert!(refusal.starts_with(words) && !refusal.contains("cr3t"), "{refusal}");
        }
        assert_eq!(refuse_invisible("пароль слово"), Ok(()));
        assert!(refuse_blanks("s3 cr3t").unwrap_err().contains("U+0020 as character 3"));
    }

    #[test]
    fn quotation_marks_of_every_kind_come_off_in_pairs() {
        for text in ["\"x\"", "'x'", "`x`", "<x>", "“x”", "„x“", "«x»", "\" x \""] {
            assert_eq!(unquoted(text), "x", "{text}");
        }
        for text in ["x", "\"x", "x'", "\"x'", "\""] {
            assert_eq!(unquoted(text), text);
        }
    }
}
