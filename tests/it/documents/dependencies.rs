//! CONTRIBUTING.md says what each direct dependency is for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The crates of this workspace by their names in the table.
const MANIFESTS: [(&str, &str); 4] = [
    ("relay", "Cargo.toml"),
    ("client", "crates/b24-client/Cargo.toml"),
    ("sandbox", "crates/b24-sandbox/Cargo.toml"),
    ("testkit", "crates/b24-testkit/Cargo.toml"),
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names of the dependencies in the table `header` of `manifest`.
fn declared<'a>(manifest: &'a str, header: &str) -> Vec<&'a str> {
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1);
    let keys = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#'));
    keys.filter_map(|line| line.split_once(" = ")).map(|(key, _)| key.split('.').next().unwrap()).collect()
}

/// The rows of a table whose first cell is code: the crate, and the cell that says whose dependency it is.
fn rows(document: &str) -> Vec<(String, BTreeSet<String>)> {
    let table = document.split("\n## Dependencies\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let row = |(name, rest): (&str, &str)| {
        let (users, purpose) = rest.split_once(" | ").unwrap();
        assert!(purpose.len() > 10, "no purpose of `{name}`");
        (name.to_owned(), users.split(", ").map(str::to_owned).collect())
    };
    cells.map(row).collect()
}

#[test]
fn the_table_of_dependencies_is_complete() {
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (user, path) in MANIFESTS {
        let manifest = read(path);
        for (header, user) in
            [("[dependencies]", user.to_owned()), ("[dev-dependencies]", format!("{user} tests"))]
        {
            for name in declared(&manifest, header) {
                expected.entry(name.to_owned()).or_default().insert(user.clone());
            }
        }
    }
    assert!(expected.len() > 40, "{expected:?}");
    let rows = rows(&read("CONTRIBUTING.md"));
    let unknown: Vec<_> = rows.iter().filter(|(name, users)| expected.get(name) != Some(users)).collect();
    assert!(unknown.is_empty(), "CONTRIBUTING.md has rows that the manifests contradict: {unknown:#?}");
    let names: Vec<&String> = rows.iter().map(|(name, _)| name).collect();
    let missing: Vec<_> = expected.keys().filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md does not say what these are for: {missing:?}");
    assert!(names.is_sorted_by(|one, next| one < next), "in alphabetical order, each once: {names:?}");
}

#[test]
fn dependencies_are_found_in_a_manifest() {
    let manifest =
        "[dependencies]\n# Why.\na = \"1\"\nb-c = { path = \"d\" }\ne.workspace = true\n\n[lints]\nf = 1\n";
    assert_eq!(declared(manifest, "[dependencies]"), ["a", "b-c", "e"]);
    assert_eq!(declared(manifest, "[dev-dependencies]"), [""; 0]);
}
