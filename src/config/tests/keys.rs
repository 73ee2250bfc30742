//! A key that changes is named, and no other one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use config::{Value, ValueKind};

use super::reference::{credentials, switched_on};
use super::{MARK, SMALL, config_of};
use crate::config::Config;
use crate::config::parse::document;
use crate::config::parse::findings::Findings;
use crate::config::parse::quote;
use crate::config::parse::read;
use crate::config::secrets::secret_file::SecretFiles;

/// For each key, at least one of these is valid and different from the value in the reference.
fn other_values() -> Vec<Value> {
    const TEXTS: [&str; 30] = [
        "7s",
        "7h",
        "37MiB",
        "7/s",
        "/other",
        "0600",
        "text",
        "json",
        "raw",
        "warn",
        "now",
        "none",
        "held",
        "gzip",
        "1.2",
        "drop_oldest",
        "enterprise",
        "127.0.0.1:7",
        "warehouse",
        "other.example.com",
        "https://acme.bitrix24.com/rest/8/abc123/",
        "https://other.example.com",
        "rejected",
        "stdout",
        "file",
        "webhook",
        "user",
        "bot",
        "basic",
        "bearer",
    ];
    let lists = ["ONIMV2JOINCHAT", "sales", "whsec_QSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBubyBtb3JlLg=="];
    let texts = TEXTS.into_iter().map(|text| Value::new(None, text));
    let lists = lists.into_iter().map(|text| Value::new(None, vec![text]));
    let others =
        [Value::new(None, true), Value::new(None, 7), Value::new(None, "allow"), Value::new(None, "deny")];
    texts.chain(lists).chain(others).collect()
}

/// These cannot change alone.
const NEVER_ALONE: [&str; 0] = [];

/// The text of a file that holds another secret.
fn other_secret(text: &str) -> String {
    let parts = [
        ("-----BEGIN", "\n-----BEGIN"),
        ("whsec_QSBz", "whsec_QSBy"),
        ("abc123", "abc124"),
        ("SECRET", "SECRET2"),
        ("TOKEN", "TOKEN2"),
        ("/b24\n", "/b25\n"),
        ("9f86", "8f86"),
    ];
    let (part, other) = parts.into_iter().find(|(part, _)| text.contains(part)).unwrap();
    text.replace(part, other)
}

fn change_secrets(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let file = entry.unwrap().path();
        fs::write(&file, other_secret(&fs::read_to_string(&file).unwrap())).unwrap();
    }
}

/// `None` if it is invalid.
fn config_of_tree(tree: &Value, directory: &Path) -> Option<Config> {
    let findings = Findings::default();
    let config = read::read(tree.clone(), &SecretFiles::new(None, Some(directory)), &findings);
    config.filter(|_| findings.into_violations().is_empty())
}

/// The path of each key of a tree.
fn paths(value: &Value, path: &[String], all: &mut Vec<Vec<String>>) {
    let ValueKind::Table(entries) = &value.kind else {
        all.push(path.to_owned());
        return;
    };
    for (key, value) in entries {
        paths(value, &[path, std::slice::from_ref(key)].concat(), all);
    }
}

fn replace(tree: &Value, path: &[String], other: &Value) -> Value {
    let Some((first, rest)) = path.split_first() else { return other.clone() };
    let ValueKind::Table(mut entries) = tree.kind.clone() else { panic!("no table has {path:?}") };
    let value = replace(&entries[first], rest, other);
    entries.insert(first.clone(), value);
    Value::new(None, ValueKind::Table(entries))
}

fn reference() -> Value {
    let text = switched_on();
    let layer = document::parse(Path::new("b24relay.toml"), text.as_bytes(), &Findings::default());
    Value::new(None, ValueKind::Table(layer.unwrap().0))
}

#[test]
fn every_key_of_the_reference_is_named_if_its_value_changes() {
    let (tree, directory, others) = (reference(), credentials(), other_values());
    let other_files = credentials();
    change_secrets(other_files.path());
    let before = config_of_tree(&tree, directory.path()).unwrap();
    let mut all = Vec::new();
    paths(&tree, &[], &mut all);
    let mut never_alone = Vec::new();
    for path in &all {
        let key = path.iter().map(|part| quote::key(part)).collect::<Vec<_>>().join(".");
        let is_file = key.ends_with("_file");
        let file = |name: &str| Value::new(None, other_files.path().join(name).to_str().unwrap());
        let candidates =
            if is_file { vec![file(&value_at(&tree, path).to_string())] } else { others.clone() };
        let named = candidates.iter().find_map(|other| {
            let after = config_of_tree(&replace(&tree, path, other), directory.path())?;
            let named: Vec<String> = before.difference(&after).into_iter().map(str::to_owned).collect();
            (!named.is_empty()).then_some(named)
        });
        match named {
            Some(named) => assert_eq!(named, [key]),
            None => never_alone.push(key),
        }
    }
    never_alone.sort_unstable();
    assert_eq!(never_alone, NEVER_ALONE);
}

fn value_at<'t>(tree: &'t Value, path: &[String]) -> &'t Value {
    path.iter().fold(tree, |value, part| match &value.kind {
        ValueKind::Table(entries) => &entries[part],
        _ => panic!("no table has {path:?}"),
    })
}

#[test]
fn a_secret_that_changes_in_its_file_is_named_by_the_key_of_the_file() {
    let (tree, directory) = (reference(), credentials());
    let before = config_of_tree(&tree, directory.path()).unwrap();
    change_secrets(directory.path());
    let after = config_of_tree(&tree, directory.path()).unwrap();
    let mut all = Vec::new();
    paths(&tree, &[], &mut all);
    // The sink reads the secrets that sign again by itself.
    let of_files: BTreeSet<String> = all
        .iter()
        .map(|path| path.join("."))
        .filter(|key| key.ends_with("_file") && !key.ends_with(".secrets_file"))
        .collect();
    let named: BTreeSet<String> = before.difference(&after).into_iter().map(str::to_owned).collect();
    assert_eq!(named, of_files);
}

#[test]
fn keys_that_can_only_change_together_are_named_together() {
    let file = "type = \"file\"\npath = \"events.jsonl\"";
    let bot = "kind = \"bot\"\nbot_id = 7\nbot_token = \"s3cr3t\"\n[sinks.out]";
    for (from, to, named) in [
        ("type = \"stdout\"", file, &["compress", "format", "mode", "path", "type"][..]),
        ("[sinks.out]", bot, &["bot_id", "bot_token", "kind", "with_user_events"]),
    ] {
        let (before, after) = (config_of(SMALL), config_of(&SMALL.replace(from, to)));
        let difference = before.difference(&after);
        let last: Vec<&str> = difference.iter().map(|key| key.rsplit('.').next().unwrap()).collect();
        assert_eq!(last, named);
    }
}

#[test]
fn a_default_that_is_written_down_is_no_change() {
    let (before, after) = (config_of(SMALL), config_of(&format!("{SMALL}format = 'json'\nstart = 'oldest'")));
    assert_eq!(before.difference(&after), BTreeSet::new());
    assert_eq!(before, after);
}

#[test]
fn the_record_shows_keys_and_no_values() {
    let shown = format!("{:?}", config_of(SMALL).keys);
    assert!(shown.contains("\"sources.a.webhook_url\""), "{shown}");
    assert!(!shown.contains(MARK) && !shown.contains("stdout"), "{shown}");
}
