//! Text of foreign origin, made fit to be shown: no secret of ours, no control characters. Pure.

/// `text` with a space for every control character: a name must not move the cursor.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `text` with what cannot be seen, or turns around what can, spelled as in JSON (`\u202e`), where it is the same.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_visible(c) {
            shown.push(c);
        } else {
            shown.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    shown
}

/// Whether a reader sees that `c` is there, and it turns nothing around.
pub fn is_visible(c: char) -> bool {
    let is_odd = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_ascii_whitespace() || !(is_odd || c.is_control())
}

/// `text` with `***` for each of `secrets`, whatever has become of its letters' case.
pub fn without<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
    secrets.fold(text.to_owned(), |text, secret| without_one(&text, secret))
}

fn without_one(text: &str, secret: &str) -> String {
    let (folded, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut shown = String::with_capacity(text.len());
    let mut rest = 0;
    for (at, _) in folded.match_indices(&secret) {
        shown.push_str(&text[rest..at]);
        shown.push_str("***");
        rest = at + secret.len();
    }
    shown + &text[rest..]
}

/// `text`, which was cut somewhere, without what may be the beginning of one of `secrets` at its end.
pub fn without_torn<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let folded = text.to_ascii_lowercase();
    let torn = secrets.into_iter().map(|secret| torn_length(&folded, &secret.to_ascii_lowercase())).max();
    text[..text.len() - torn.unwrap_or(0)].to_owned()
}

/// How much of `secret` the end of `text` may be.
fn torn_length(text: &str, secret: &str) -> usize {
    let lengths = secret.char_indices().map(|(at, _)| at);
    lengths.filter(|length| text.ends_with(&secret[..*length])).max().unwrap_or(0)
}

/// The first `max` bytes of `text`, or a little less where a character would be cut.
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
    fn what_cannot_be_seen_is_spelled() {
        assert_eq!(visible("a\u{202e}b\u{200b}\u{1b}[31m\u{e0041}"), r"a\u202eb\u200b\u001b[31m\udb40\udc41");
        assert_eq!(visible("жук, 虫\n\t🐞"), "жук, 虫\n\t🐞");
    }

    #[test]
    fn the_beginning_of_a_secret_at_a_cut_is_gone() {
        let secrets = ["s3cr3t", "крест"];
        for (text, shown) in [
            ("see S3cr", "see "),
            ("see s", "see "),
            ("see ***", "see ***"),
            ("see кре", "see "),
            ("s3cr s3", "s3cr "),
            ("", ""),
        ] {
            assert_eq!(without_torn(text, secrets), shown, "{text}");
        }
    }

    #[test]
    fn a_beginning_cuts_no_character() {
        assert_eq!((beginning("жук", 3), beginning("жук", 100)), ("ж", "жук"));
    }
}
