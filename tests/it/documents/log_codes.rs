//! Every warning and error in the log has a code, and both troubleshooting pages explain each code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::documents::troubleshooting::{code, files, fixed, flat, literals, read, root};

const PAGES: [&str; 2] = ["docs/operate/troubleshooting.md", "docs/ru/troubleshooting.md"];
const SITES: [&str; 2] = ["warn!(", "error!("];
/// How the log line names the code of an exit code.
const OF_EXIT: [&str; 2] = ["Exit::from(ending).code()", "Exit::of(error).code()"];

/// A call that logs a warning or an error: its file, the expression of its code, and the constant part of its text.
struct Site {
    path: String,
    code: Option<String>,
    text: String,
}

/// The names in `log_code.rs` of the daemon and of the client, each with its code.
fn named_codes() -> Vec<(String, String)> {
    let table = read("src/log_code.rs") + &read("crates/b24-client/src/log_code.rs");
    let lines =
        table.lines().filter_map(|line| line.strip_prefix("pub(crate) const ")?.split_once(": &str = "));
    lines.map(|(name, code)| (name.to_owned(), code.trim_matches(['"', ';']).to_owned())).collect()
}

/// The codes of the exit codes that report an error.
fn exit_codes() -> Vec<String> {
    let table = read("src/cli/exit_code.rs");
    let numbers = table.lines().filter_map(|line| line.strip_suffix(',')?.split_once(" = "));
    numbers.filter(|(_, number)| *number != "0").map(|(_, number)| format!("B24-E{number}")).collect()
}

fn all_codes() -> BTreeSet<String> {
    named_codes().into_iter().map(|(_, code)| code).chain(exit_codes()).collect()
}

/// The files of the daemon and of the client.
fn program() -> impl Iterator<Item = PathBuf> {
    ["src", "crates/b24-client/src"].into_iter().flat_map(|folder| files(&root().join(folder), ".rs"))
}

/// The calls in the program, without unit tests.
fn sites() -> Vec<Site> {
    let mut found = Vec::new();
    for path in program() {
        let text = code(&std::fs::read_to_string(&path).unwrap());
        let path = path.strip_prefix(root()).unwrap().display().to_string();
        found.extend(sites_in(&text).map(|(code, text)| Site { path: path.clone(), code, text }));
    }
    found
}

fn sites_in(text: &str) -> impl Iterator<Item = (Option<String>, String)> {
    let starts = SITES.iter().flat_map(|site| text.match_indices(site));
    starts.map(|(at, site)| {
        let call = &text[at + site.len()..];
        let code = call.trim_start().strip_prefix("code = %").and_then(|rest| rest.split(',').next());
        let said = literals(call).pop().unwrap_or_default();
        (code.map(str::to_owned), flat(fixed(&said)))
    })
}

/// The rows of the tables of codes, by code.
fn rows(page: &str) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for row in read(page).lines().filter(|line| line.starts_with("| `B24-")) {
        let code = row.split('`').nth(1).unwrap().to_owned();
        assert!(rows.insert(code, flat(row)).is_none(), "{page} has two rows like: {row}");
    }
    rows
}

/// Everything in `text` that looks like a code.
fn mentioned(text: &str) -> BTreeSet<String> {
    let looks = |found: &str| found.len() == 7 && found[5..].chars().all(|c| c.is_ascii_digit());
    let mentions = text.match_indices("B24-").filter_map(|(at, _)| text.get(at..at + 7));
    mentions.filter(|found| looks(found)).map(str::to_owned).collect()
}

#[test]
fn every_warning_and_error_of_the_log_has_a_code() {
    let known: BTreeSet<_> = named_codes().into_iter().map(|(name, _)| format!("log_code::{name}")).collect();
    let sites = sites();
    assert!(sites.len() > 60, "where are they all? {}", sites.len());
    for Site { path, code, text } in &sites {
        let Some(code) = code else {
            panic!("{path}: `code = %log_code::...` is not the first field of: {text}")
        };
        let is_known = known.contains(code) || OF_EXIT.contains(&code.as_str());
        assert!(is_known, "{path}: {code} is in no log_code.rs: {text}");
    }
    let used: BTreeSet<_> = sites.into_iter().filter_map(|site| site.code).collect();
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unused.is_empty(), "no line has these codes: {unused:?}");
}

#[test]
fn a_code_is_given_once_and_looks_like_a_code() {
    let codes: Vec<_> = named_codes().into_iter().map(|(_, code)| code).chain(exit_codes()).collect();
    for code in &codes {
        assert_eq!(mentioned(code), BTreeSet::from([code.clone()]), "{code}");
        assert_eq!(codes.iter().filter(|other| *other == code).count(), 1, "{code} has two meanings");
    }
}

#[test]
fn both_troubleshooting_pages_explain_every_code_and_no_other() {
    for page in PAGES {
        let explained: BTreeSet<_> = rows(page).into_keys().collect();
        assert_eq!(explained, all_codes(), "{page}");
        let unknown: Vec<_> = mentioned(&read(page)).difference(&all_codes()).cloned().collect();
        assert!(unknown.is_empty(), "{page} names codes that do not exist: {unknown:?}");
    }
}

#[test]
fn the_row_of_a_code_quotes_its_log_lines() {
    let names: BTreeMap<_, _> = named_codes().into_iter().collect();
    for page in PAGES {
        let rows = rows(page);
        for Site { code, text, .. } in sites() {
            let name = code.as_deref().and_then(|code| code.strip_prefix("log_code::"));
            let Some(code) = name.map(|name| &names[name]) else { continue };
            assert!(rows[code].contains(&text), "{page}: the row of {code} does not quote: {text}");
        }
    }
}

#[test]
fn a_line_without_a_code_is_found() {
    let text = r#"
        warn!(code = %log_code::ONE, sink, "all {is} quite well");
        error!(
            code = %log_code::TWO,
            sink, "nothing is well"
        );
        tracing::error!(sink, "there is no code");
    "#;
    let found: Vec<_> = sites_in(text).collect();
    let code = |name: &str| Some(format!("log_code::{name}"));
    assert_eq!(found[0], (code("ONE"), "quite well".to_owned()));
    assert_eq!(found[1], (code("TWO"), "nothing is well".to_owned()));
    assert_eq!(found[2], (None, "there is no code".to_owned()));
    assert_eq!(mentioned("`B24-P01`, B24-P1, B24-relay"), BTreeSet::from(["B24-P01".to_owned()]));
}
