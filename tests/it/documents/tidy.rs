//! The rules for the code (CONTRIBUTING.md): layers, sizes, docs, names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;
/// Besides the map of the folder.
const FILES_MAX: usize = 12;
const MAP_SENTENCES_MAX: usize = 3;
const BANNED_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "misc", "types", "models"];

/// The modules that a module may use, besides itself. A module that is not listed here is not allowed.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &[
            "blocking",
            "config",
            "event",
            "health",
            "log_code",
            "relay",
            "retry",
            "service",
            "shutdown",
            "sink",
            "human",
            "stdio",
            "store",
            "telemetry",
            "wall_clock",
        ],
    ),
    (
        "relay",
        &[
            "blocking",
            "chat",
            "checkpoint",
            "config",
            "event",
            "failpoint",
            "log_code",
            "retry",
            "service",
            "shutdown",
            "sink",
            "store",
            "telemetry",
            "wall_clock",
        ],
    ),
    ("service", &["config", "event", "health", "log_code", "human", "stdio", "store", "wall_clock"]),
    ("health", &["human", "store"]),
    (
        "sink",
        &["blocking", "config", "event", "failpoint", "log_code", "markup", "shutdown", "stdio", "symlinks"],
    ),
    ("store", &["blocking", "checkpoint", "event", "failpoint", "symlinks", "wall_clock"]),
    ("config", &["human", "symlinks", "template"]),
    ("template", &["event"]),
    ("telemetry", &["config", "log_code", "service", "stdio"]),
    ("markup", &[]),
    ("retry", &[]),
    ("human", &["wall_clock"]),
    ("log_code", &[]),
    ("stdio", &["log_code"]),
    ("shutdown", &[]),
    ("blocking", &[]),
    ("chat", &["event"]),
    ("checkpoint", &["event"]),
    ("failpoint", &["shutdown"]),
    ("event", &[]),
    ("symlinks", &[]),
    ("wall_clock", &[]),
];

/// Words that only one module may use.
const OWNERS: &[(&str, &[&str])] = &[
    ("rusqlite", &["src/store/"]),
    ("backoff::", &["src/retry.rs"]),
    ("signal_hook::", &["src/shutdown/"]),
    ("std::env", &["src/config/", "src/failpoint.rs", "src/telemetry/line.rs"]),
    ("axum::", &["src/service/", "src/cli/demo/receiver.rs"]),
    ("PortalClient", &["src/cli/", "src/relay/"]),
];

struct Source {
    path: String,
    text: String,
}

/// Every Rust file of the crate, with tests and benches unless only `src` is requested.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(!sources.is_empty());
    sources
}

/// `src/portal/call.rs` and `src/portal.rs` belong to the module `portal`.
fn room(path: &str) -> &str {
    path.strip_prefix("src/").unwrap().split(['/', '.']).next().unwrap()
}

/// The modules that a file names after `crate::` or, in `main.rs`, after `b24relay::`.
fn rooms_named(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for marker in ["crate::", "b24relay::"] {
        for (at, _) in text.match_indices(marker) {
            let rest = &text[at + marker.len()..];
            let names = match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap().split(',').map(str::trim).collect(),
                None => vec![rest],
            };
            rooms.extend(names.iter().map(|name| {
                name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
            }));
        }
    }
    rooms
}

/// The file without its unit tests, which may use more modules than the code.
fn code(source: &Source) -> &str {
    source.text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

fn assert_none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n{}", offenders.join("\n"));
}

#[test]
fn rooms_know_only_what_lies_below_them() {
    let mut offenders = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| source.path != "src/lib.rs") {
        let own = room(&source.path);
        let Some((_, allowed)) = LAYERS.iter().find(|(room, _)| *room == own) else {
            offenders.push(format!("{}: a room that LAYERS does not know", source.path));
            continue;
        };
        let foreign = rooms_named(code(source)).into_iter();
        let foreign = foreign.filter(|named| named != own && !allowed.contains(&named.as_str()));
        offenders.extend(foreign.map(|named| format!("{} names {named}", source.path)));
    }
    assert_none("these files know a room that they must not know", &offenders);
}

#[test]
fn one_room_owns_each_foreign_tongue() {
    let mut offenders = Vec::new();
    for source in sources(&["src"]) {
        for (word, owners) in OWNERS {
            let is_owner = owners.iter().any(|owner| source.path.starts_with(owner));
            if !is_owner && code(&source).contains(word) {
                offenders.push(format!("{} says {word}, which is for {owners:?}", source.path));
            }
        }
    }
    assert_none("one owner for SQL, signals, the environment and the rest", &offenders);
}

#[test]
fn files_and_functions_stay_small() {
    let mut offenders = Vec::new();
    for source in sources(&["src", "crates", "tests", "benches"]) {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            offenders.push(format!("{}: {lines} lines", source.path));
        }
        offenders.extend(long_functions(&source));
    }
    assert_none("too long", &offenders);
}

/// Functions from their `fn` to the closing brace at the same indentation, as formatted by rustfmt.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start().split('(').next().unwrap();
        if !words.split(' ').any(|word| word == "fn") || words.starts_with("//") {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines[start..].iter().position(|line| *line == end).unwrap_or(0) + 1;
        if length > FUNCTION_LINES_MAX {
            long.push(format!("{}:{}: a function of {length} lines", source.path, start + 1));
        }
    }
    long
}

#[test]
fn folders_hold_a_dozen_files_at_most() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources(&["src", "crates", "tests", "benches"]) {
        let (folder, file) = source.path.rsplit_once('/').unwrap();
        let is_map = ["mod.rs", "lib.rs", "main.rs"].contains(&file);
        *counts.entry(folder.to_owned()).or_default() += usize::from(!is_map);
    }
    let full = counts.iter().filter(|(_, count)| **count > FILES_MAX);
    assert_none(
        "too many files",
        &full.map(|(folder, count)| format!("{folder}: {count}")).collect::<Vec<_>>(),
    );
}

/// The names of functions with more parameters than allowed, besides `self`.
fn crowded_functions(text: &str) -> Vec<String> {
    let code = code_only(text);
    let mut crowded = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let Some((name, rest)) = code[at + 3..].split_once('(') else { continue };
        let name: String = name.chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect();
        let (mut depth, mut parameters) = (0, vec![String::new()]);
        for sign in rest.chars() {
            depth += i32::from("([{<".contains(sign)) - i32::from(")]}>".contains(sign));
            match sign {
                ')' if depth < 0 => break,
                ',' if depth == 0 => parameters.push(String::new()),
                _ => parameters.last_mut().unwrap().push(sign),
            }
        }
        parameters.retain(|parameter| !parameter.trim().is_empty() && !parameter.trim().ends_with("self"));
        if !name.is_empty() && parameters.len() > PARAMETERS_MAX {
            crowded.push(format!("{name}: {} parameters", parameters.len()));
        }
    }
    crowded
}

/// The code without comments and arrows, whose `>` closes nothing.
fn code_only(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n").replace("->", "").replace("=>", "")
}

#[test]
fn functions_take_few_parameters() {
    let sources = sources(&["src", "crates", "benches"]);
    let sources = sources.iter().filter(|source| !source.path.contains("/tests"));
    let crowded = sources.flat_map(|source| {
        crowded_functions(code(source)).into_iter().map(|function| format!("{}: {function}", source.path))
    });
    assert_none("too many parameters", &crowded.collect::<Vec<_>>());
}

/// The modules in files of their own that exist only in tests, other than `tests`.
fn test_only_modules(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]"
            && let Some(name) = lines.peek().and_then(|next| next.split_once("mod ")?.1.split_once(';'))
        {
            modules.push(name.0.to_owned());
        }
    }
    modules.retain(|name| name != "tests");
    modules
}

#[test]
fn files_of_tests_are_in_tests() {
    let sources = sources(&["src", "crates"]);
    let sources = sources.iter().filter(|source| !source.path.contains("/tests"));
    let found = sources.flat_map(|source| {
        test_only_modules(&source.text).into_iter().map(|name| format!("{}: {name}", source.path))
    });
    assert_none("these belong in `tests`", &found.collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is() {
    let sources = sources(&["src", "crates", "tests", "benches"]);
    let silent = sources.iter().filter(|source| !source.text.starts_with("//! "));
    assert_none("no `//!` on the first line", &silent.map(|source| source.path.clone()).collect::<Vec<_>>());
}

/// How many sentences the `//!` at the top of a file has, besides its examples.
fn opening_sentences(text: &str) -> usize {
    let opening: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let prose: String = opening.join(" ").split("```").step_by(2).collect();
    prose.split_whitespace().filter(|word| word.ends_with(['.', '?'])).count()
}

#[test]
fn a_map_of_a_folder_is_short() {
    let mut sources = sources(&["src", "crates"]);
    sources.retain(|source| source.path.ends_with("/mod.rs") || source.path.ends_with("/lib.rs"));
    let long = sources.iter().filter(|source| opening_sentences(&source.text) > MAP_SENTENCES_MAX);
    assert_none(
        "too many sentences before the list of files",
        &long.map(|source| source.path.clone()).collect::<Vec<_>>(),
    );
}

#[test]
fn no_room_is_named_for_nothing() {
    let sources = sources(&["src", "crates", "tests", "benches"]);
    let banned = sources.iter().filter(|source| {
        let parts = source.path.trim_end_matches(".rs").split('/');
        parts.into_iter().any(|part| BANNED_NAMES.contains(&part))
    });
    assert_none("banned names", &banned.map(|source| source.path.clone()).collect::<Vec<_>>());
}

/// A tag can be moved to other code; a commit cannot.
fn unpinned_actions(workflow: &str) -> Vec<&str> {
    let used = workflow.lines().filter_map(|line| line.split_once("uses:")).map(|(_, action)| action.trim());
    used.filter(|action| {
        let commit =
            action.split('@').nth(1).and_then(|version| version.split(' ').next()).unwrap_or_default();
        commit.len() != 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
    .collect()
}

#[test]
fn workflow_actions_are_pinned_by_commit() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let workflow = std::fs::read_to_string(&path).unwrap();
        assert_eq!(unpinned_actions(&workflow), [""; 0], "{}", path.display());
    }
}

#[test]
fn the_rules_themselves_can_fail() {
    assert_eq!(unpinned_actions("- uses: a/b@v4\n- run: x\n  uses: a/c@main"), ["a/b@v4", "a/c@main"]);
    assert_eq!(
        rooms_named("use crate::{sink, store::Store};\nuse b24relay::portal::Class;"),
        ["sink", "store", "portal"]
    );
    assert_eq!(
        opening_sentences("//! One. Is it\n//! two?\n//! ```\n//! a.\n//! ```\n//! Three.\nmod x; // No."),
        3
    );
    let crowded =
        "fn fits(&self, a: A<B, C>, b: B) -> D {}\nfn not(a: A, b: (B, B), c: C, d: D, e: E, f: F) {}";
    assert_eq!(crowded_functions(crowded), ["not: 6 parameters"]);
    assert_eq!(test_only_modules("#[cfg(test)]\nmod page; // x\n#[cfg(test)]\nmod tests;"), ["page"]);
    let body = "    x;\n".repeat(FUNCTION_LINES_MAX);
    let source =
        Source { path: "a.rs".into(), text: format!("pub fn long() {{\n{body}}}\n\nfn short() {{}}\n") };
    assert_eq!(long_functions(&source), ["a.rs:1: a function of 72 lines"]);
}
