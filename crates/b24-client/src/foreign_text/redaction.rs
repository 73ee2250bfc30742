//! Takes secrets out of a text, whatever encoding the other side has put them into.

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::encodings::{Reading, readings, unescaped};

/// The text that replaces a secret.
const MASK: &str = "***";

/// The shortest rest of a secret that is searched for. Shorter ones would match common words.
const SWALLOWED_MIN: usize = 6;

/// No escape of one character is longer.
const ESCAPE_MAX: usize = 12;

/// `text` with `***` for each of `secrets`, in upper and lower case, in every encoding that is known here.
pub fn without<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let needles = needles(secrets);
    masked(text, found(&readings(text), &needles), text.len())
}

/// Like [`without`], for a text that was cut somewhere. It also removes a possible beginning of a secret at the end.
pub(super) fn without_cut<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let (needles, text) = (needles(secrets), without_torn_escape(text));
    let readings = readings(text);
    let torn = readings.iter().filter_map(|reading| torn(reading, &needles)).min();
    masked(text, found(&readings, &needles), torn.unwrap_or(text.len()))
}

/// The secrets as [`readings`] may show them, in lower case.
fn needles<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Vec<Vec<u8>> {
    let unescaped = secrets.into_iter().flat_map(unescaped).collect::<Vec<Reading>>();
    let joined = unescaped.iter().map(Reading::joined);
    let joined: Vec<Reading> = joined.filter(|reading| reading.bytes.len() >= reading.least).collect();
    let mut needles: Vec<Vec<u8>> =
        unescaped.into_iter().chain(joined).map(|reading| reading.bytes.to_ascii_lowercase()).collect();
    // As in a form.
    let spaced = needles.iter().filter(|needle| needle.contains(&b' '));
    let spaced: Vec<_> = spaced.map(|needle| replaced(needle, b' ', b'+')).collect();
    needles.extend(spaced);
    let swallowed: Vec<_> = needles.iter().flat_map(|needle| swallowed(needle)).map(<[u8]>::to_vec).collect();
    needles.extend(swallowed);
    needles.retain(|needle| !needle.is_empty());
    needles.sort();
    needles.dedup();
    needles
}

/// The rest of a secret if a `%` before it takes its first digits: `%00secret` decodes to a zero byte and `secret`.
fn swallowed(needle: &[u8]) -> impl Iterator<Item = &[u8]> {
    let digits = needle.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
    (1..=digits).map(|count| &needle[count..]).filter(|rest| rest.len() >= SWALLOWED_MIN)
}

fn replaced(bytes: &[u8], from: u8, to: u8) -> Vec<u8> {
    bytes.iter().map(|byte| if *byte == from { to } else { *byte }).collect()
}

/// The parts of the text that say a secret.
fn found(readings: &[Reading], needles: &[Vec<u8>]) -> Vec<(usize, usize)> {
    let search = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        // Is built soonest: it serves for one text.
        .kind(Some(AhoCorasickKind::NoncontiguousNFA))
        .build(needles);
    let Ok(search) = search else { return vec![(0, usize::MAX)] };
    let in_one = |reading: &Reading| -> Vec<(usize, usize)> {
        let matches = search.find_overlapping_iter(&reading.bytes);
        matches
            .filter(|found| found.len() >= reading.least)
            .map(|found| reading.span(found.range()))
            .collect()
    };
    readings.iter().flat_map(in_one).collect()
}

/// `text` up to `end`, with a mask for every stretch of `secret` parts.
fn masked(text: &str, mut secret: Vec<(usize, usize)>, end: usize) -> String {
    secret.sort_unstable();
    let (mut shown, mut done) = (String::with_capacity(text.len()), 0);
    let mut parts = secret.into_iter().filter(|(begin, _)| *begin < end).peekable();
    while let Some((begin, mut stop)) = parts.next() {
        while let Some((_, next)) = parts.next_if(|(begin, _)| *begin <= stop) {
            stop = stop.max(next);
        }
        shown.push_str(&text[done..begin]);
        shown.push_str(MASK);
        done = stop.min(end);
    }
    shown + &text[done..end]
}

/// Where in the text the secret begins that the end of `reading` may belong to.
fn torn(reading: &Reading, needles: &[Vec<u8>]) -> Option<usize> {
    let bytes = reading.bytes.to_ascii_lowercase();
    let longest = needles.iter().filter_map(|needle| {
        (1..needle.len().min(bytes.len() + 1)).rev().find(|length| bytes.ends_with(&needle[..*length]))
    });
    longest.max().map(|length| reading.span(bytes.len() - length..bytes.len()).0)
}

/// `text` without an escape at its end that may have been cut.
fn without_torn_escape(text: &str) -> &str {
    let tail = (0..=text.len().saturating_sub(ESCAPE_MAX)).rev().find(|at| text.is_char_boundary(*at));
    let tail = tail.unwrap_or(0);
    text[tail..].find(['%', '\\', '&']).map_or(text, |at| &text[..tail + at])
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn each(text: &str, form: impl Fn(char) -> String) -> String {
        text.chars().map(form).collect()
    }

    fn each_byte(text: &str, form: impl Fn(u8) -> String) -> String {
        text.bytes().map(form).collect()
    }

    fn escaped(c: char) -> String {
        c.encode_utf16(&mut [0; 2])
            .iter()
            .flat_map(|unit| ["\\u".to_owned(), format!("{unit:04x}")])
            .collect()
    }

    /// `text` in base64, with something before and behind it.
    fn packed(text: &str, before: &str, engine: &impl base64::Engine) -> String {
        engine.encode(format!("{before}{text}~~"))
    }

    /// As within the quotes of JSON.
    fn json(text: &str) -> String {
        let quoted = serde_json::to_string(text).unwrap();
        quoted[1..quoted.len() - 1].to_owned()
    }

    type Encoding = (&'static str, fn(&str) -> String);

    const ENCODINGS: [Encoding; 24] = [
        ("verbatim", str::to_owned),
        ("upper case", |text| text.to_ascii_uppercase()),
        ("percent", |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()),
        ("percent, lower", |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().to_lowercase()),
        ("percent, every byte", |text| each_byte(text, |byte| format!("%{byte:02X}"))),
        ("percent, twice", |text| {
            let once = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            utf8_percent_encode(&once, NON_ALPHANUMERIC).to_string()
        }),
        ("form", |text| {
            reqwest::Url::parse_with_params("http://a/", [("a", text)]).unwrap().query().unwrap()[2..]
                .to_owned()
        }),
        ("json", |text| json(text)),
        ("json of php", |text| json(text).replace('/', "\\/")),
        ("json in json", |text| {
            let once = serde_json::to_string(text).unwrap();
            serde_json::to_string(&once).unwrap().replace('/', "\\/")
        }),
        ("\\u", |text| each(text, escaped)),
        ("\\u, upper", |text| each(text, escaped).to_uppercase().replace("\\U", "\\u")),
        ("html, decimal", |text| each(text, |c| format!("&#{};", u32::from(c)))),
        ("html, hexadecimal", |text| each(text, |c| format!("&#x{:X}", u32::from(c)) + ";")),
        ("html, by name", |text| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.replace('"', "&quot;").replace('\'', "&#39;")
        }),
        ("base64", |text| packed(text, "", &BASE64_STANDARD)),
        ("base64, shifted", |text| packed(text, "a", &BASE64_STANDARD)),
        ("base64, shifted twice", |text| packed(text, "ab", &BASE64_URL_SAFE_NO_PAD)),
        ("base64 in lines", |text| {
            let packed = packed(text, "some text that goes before", &BASE64_STANDARD);
            packed.as_bytes().chunks(16).map(|line| String::from_utf8_lossy(line) + "\r\n").collect()
        }),
        ("hexadecimal", |text| each_byte(text, |byte| format!("{byte:02x}"))),
        ("split by zero-width", |text| each(text, |c| format!("{c}\u{200b}"))),
        ("split by controls", |text| each(text, |c| format!("{c}\u{0}\u{1b}"))),
        ("split by line breaks", |text| each(text, |c| format!("{c}\r\n"))),
        ("split by blanks", |text| each(text, |c| format!("{c} "))),
    ];

    /// Whether a reader who knows all encodings finds `secret` in `text` and leaves everything else out. Written
    /// without the code under test: the secret's own encodings are searched for.
    fn tells(text: &str, secret: &str) -> bool {
        let squeezed = |text: &str| -> String {
            text.chars().filter(|c| !(c.is_control() || c.is_whitespace() || *c == '\u{200b}')).collect()
        };
        let text = squeezed(text);
        ENCODINGS.iter().any(|(_, encode)| {
            let encoded = squeezed(&encode(secret));
            // The digits at both ends of base64 also depend on the bytes beside the secret.
            encoded.len() > 8 && text.contains(&encoded[..]) || text.contains(&squeezed(secret))
        })
    }

    #[test]
    fn each_encoding_of_a_secret_becomes_a_mask() {
        let secret = "s3/cr&t \"wörd\"%2Fx\\y";
        for (name, encode) in ENCODINGS {
            let encoded = encode(secret);
            let text = without(&format!("before, {encoded}, behind"), [secret]);
            assert!(text.contains(MASK) && !tells(&text, secret), "{name}: {encoded} -> {text}");
            assert!(text.starts_with("before, ") && text.ends_with(", behind"), "{name}: {text}");
        }
    }

    #[test]
    fn words_that_are_no_secrets_stay() {
        for text in [
            "a latest art",
            "%41 &amp; \\u0041 &#65;",
            "dGVzdA== and 74657374",
            "100 % & \\",
            "%",
            "\\u",
            "&#",
        ] {
            assert_eq!(without(text, ["s3cr3t", "start"]), text);
        }
        assert_eq!(without("late start", ["start", "test"]), "late ***", "common words are not joined");
        assert_eq!(without("", ["s3cr3t", ""]), "");
    }

    #[test]
    fn a_percent_sign_before_a_secret_does_not_hide_it() {
        for text in ["%00AaA%21Aa", "%a00AaA%21Aa", "%00AaA%2521Aa"] {
            let shown = without(text, ["00AaA!Aa"]);
            assert!(shown.contains(MASK) && !shown.contains("AaA"), "{shown}");
        }
    }

    #[test]
    fn the_beginning_of_a_secret_at_a_cut_is_gone() {
        for (text, shown) in [
            ("see S3cr", "see "),
            ("see s", "see "),
            ("see ***", "see ***"),
            ("see кре", "see "),
            ("s3cr s3", "s3cr "),
            ("see %73%33%6", "see "),
            ("see \\u0073\\u00", "see "),
            ("", ""),
        ] {
            assert_eq!(without_cut(text, ["s3cr3t", "крест"]), shown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_encoding_of_a_secret_survives(
            secret in "[!-~]{8,40}", encoding in 0..ENCODINGS.len(), before in "\\PC{0,9}", behind in "[ \\n!-~]{0,9}",
        ) {
            let (name, encode) = ENCODINGS[encoding];
            let encoded = encode(&secret);
            let text = without(&format!("{before}{encoded}{behind}"), [secret.as_str()]);
            prop_assert!(text.contains(MASK), "{}: {}", name, text);
            prop_assert!(!tells(&text, &secret), "{}: {}", name, text);
        }

        #[test]
        fn no_beginning_of_an_encoded_secret_survives_a_cut(
            secret in "[a-z0-9]{16,40}", encoding in 0..ENCODINGS.len(), cut in 0_usize..200,
        ) {
            let (name, encode) = ENCODINGS[encoding];
            // It begins with words that are no secret.
            prop_assume!(name != "base64 in lines");
            let whole = format!("< {}", encode(&secret));
            let text = crate::foreign_text::beginning(&whole, cut);
            let text = without_cut(text, [secret.as_str()]);
            // At most a few characters of it remain, whatever the encoding; "~~" in base64 is ours.
            let left = text.trim_start_matches("< ").replace(MASK, "");
            prop_assert!(left.len() <= 6, "{}: {} -> {}", name, whole, text);
        }

        #[test]
        fn any_text_comes_out_whole_where_it_holds_no_secret(text in "\\PC{0,60}") {
            prop_assert_eq!(without(&text, ["\u{1f41e}s3cr3t\u{1f41e}"]), text);
        }
    }
}
