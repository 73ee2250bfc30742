//! The troubleshooting page quotes every error text of the program, and has the sections that alerts link to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::documents::manuals::anchors;

/// The sections that alerts, pages and people link to.
const ANCHORS: [&str; 17] = [
    "events-stopped",
    "retention",
    "sink-held",
    "sink-retrying",
    "sink-hangs",
    "sink-paused",
    "dead-letters",
    "foreign-reader",
    "subscription-lost",
    "source-refused",
    "unreadable-event",
    "journal-full",
    "reload-refused",
    "state-file",
    "configuration",
    "disk",
    "clock",
];

/// The beginnings of expressions with an error text.
const COMPLAINTS: [&str; 4] = ["error!(", "warn!(", "#[error(", "format!("];

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The files below `folder` whose names end with `ending`.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { files(&path, ending) } else { vec![path] });
    found.filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
}

/// The code of a program without its unit tests and comments.
pub(crate) fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines();
    code.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The string literals after an opening bracket, up to its closing bracket.
pub(crate) fn literals(text: &str) -> Vec<String> {
    let (mut found, mut depth, mut rest) = (Vec::new(), 1, text);
    while depth > 0 {
        let at = rest.find(['(', ')', '"']).unwrap();
        match rest.as_bytes()[at] {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {
                let (literal, length) = literal(&rest[at + 1..]);
                found.push(literal);
                rest = &rest[at + 1 + length..];
                continue;
            }
        }
        rest = &rest[at + 1..];
    }
    found
}

/// The text of a literal, and its length with the closing quote.
fn literal(text: &str) -> (String, usize) {
    let mut said = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (said, at + 1),
            '\\' => {
                let (_, escaped) = chars.next().unwrap();
                if escaped == '\n' {
                    while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
                } else {
                    said.push(escaped);
                }
            }
            c => said.push(c),
        }
    }
    unreachable!("a literal ends")
}

/// The longest constant part of a text.
pub(crate) fn fixed(text: &str) -> &str {
    let parts = text.split('{').map(|part| part.split_once('}').map_or(part, |(_, fixed)| fixed));
    parts.max_by_key(|part| part.len()).unwrap().trim_matches([' ', ',', ';', ':', '(', ')'])
}

/// Whether the text of a `format!` reports a failure, because most of them do not.
fn says_unable(text: &str) -> bool {
    text.split(": ").any(|part| part.starts_with("cannot "))
}

/// The constant parts of the error texts in `text`.
fn complaints(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for begin in COMPLAINTS {
        for (at, _) in text.match_indices(begin) {
            let rest = &text[at + begin.len()..];
            // In a log call the message comes last, in other calls the format comes first.
            let said = match begin {
                "#[error(" => literals(rest).into_iter().next(),
                "format!(" => rest
                    .trim_start()
                    .strip_prefix('"')
                    .map(|rest| literal(rest).0)
                    .filter(|said| says_unable(said)),
                _ => literals(rest).pop(),
            };
            found.extend(said.map(|said| fixed(&said).to_owned()).filter(|fixed| fixed.len() >= 8));
        }
    }
    found
}

/// A manual as one line.
pub(crate) fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn troubleshooting_quotes_every_complaint_of_the_program() {
    let manual = flat(&read("docs/operate/troubleshooting.md"));
    let folders = ["src", "crates/b24-client/src"];
    let sources = folders.iter().flat_map(|folder| files(&root().join(folder), ".rs"));
    let said: BTreeSet<String> =
        sources.flat_map(|path| complaints(&code(&fs::read_to_string(path).unwrap()))).collect();
    assert!(said.len() > 50, "where are they all? {said:?}");
    let missing: Vec<_> = said.iter().filter(|said| !manual.contains(flat(said).as_str())).collect();
    assert!(
        missing.is_empty(),
        "docs/operate/troubleshooting.md does not say what to do about these:\n{}",
        missing.iter().map(|said| said.as_str()).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn troubleshooting_has_the_anchors_that_alerts_point_to() {
    let anchors = anchors(&read("docs/operate/troubleshooting.md"));
    for anchor in ANCHORS {
        assert_eq!(anchors.iter().filter(|known| *known == anchor).count(), 1, "#{anchor}: {anchors:?}");
    }
}

#[test]
fn a_complaint_is_found_however_it_is_written() {
    let text = r#"
        warn!(%path, %error, "cannot (yet) tidy \"it\"");
        error!(
            way_out = "`see there`",
            "one \
             and {two} other words"
        );
        #[error("the file `{}` is damaged ({detail}): see", path.display())]
        warn!("{repair}");
        Err(format!("some.key: cannot listen on {address}: {error}"))
        Ok(format!("all is well, which cannot be said often enough"))
    "#;
    let found = complaints(text);
    assert!(found.contains(&"cannot (yet) tidy \"it\"".to_owned()), "{found:?}");
    assert!(found.contains(&"other words".to_owned()), "{found:?}");
    assert!(found.contains(&"` is damaged".to_owned()), "{found:?}");
    assert!(found.contains(&"some.key: cannot listen on".to_owned()), "{found:?}");
    assert_eq!(found.len(), 4, "{found:?}");
}
