//! Every claim of docs/security.md has a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names of all test functions of the crate and its integration tests.
fn tests_in(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("fn ").skip(1).filter_map(|rest| rest.split_once('('));
            names.extend(functions.map(|(name, _)| name.to_owned()));
        }
    }
}

fn existing() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["src", "crates", "tests"] {
        tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut names);
    }
    names
}

/// The claims: the rows of the table and the items of the lists, up to the section without claims.
fn claims() -> Vec<String> {
    let manual = read("docs/security.md");
    let claiming = manual.split("\n## Assets\n").nth(1).unwrap();
    let claiming = claiming.split("\n## Not protected\n").next().unwrap();
    let mut claims: Vec<String> = Vec::new();
    for line in claiming.lines() {
        let is_row = line.starts_with("| ") && !line.starts_with("| Asset ");
        if is_row || line.starts_with("- ") {
            claims.push(line.to_owned());
        } else if let (true, Some(claim)) = (line.starts_with("  "), claims.last_mut()) {
            claim.extend([" ", line.trim()]);
        }
    }
    claims
}

/// The tests that a claim names after its `Test:` or `Tests:`.
fn named(claim: &str) -> Vec<&str> {
    let behind = claim.split("Test: ").nth(1).or_else(|| claim.split("Tests: ").nth(1)).unwrap_or_default();
    behind.split('`').skip(1).step_by(2).collect()
}

#[test]
fn each_claim_of_the_security_manual_names_tests_that_exist() {
    let (existing, claims) = (existing(), claims());
    assert!(claims.len() > 25, "{claims:?}");
    for claim in &claims {
        let named = named(claim);
        assert!(!named.is_empty(), "no test for: {claim}");
        for test in named {
            assert!(existing.contains(test), "there is no test `{test}`, which shall show: {claim}");
        }
    }
}

#[test]
fn a_claim_without_a_test_is_found() {
    assert_eq!(named("- It is safe. Tests: `a_b`, `c_d`."), ["a_b", "c_d"]);
    assert_eq!(named("- It is `really` safe."), [""; 0]);
}
