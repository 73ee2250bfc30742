//! A key that changes is named, and no other one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use config::{Value, ValueKind};

use super::reference::{credentials, switched_on};
use super::{MARK, SMALL, config_of, page};
use crate::config::parse::document;
use crate::config::parse::findings::Findings;
use crate::config::parse::quote;
use crate::config::parse::read;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::{Config, Violation};

/// Other values of the same kind as `value`. For each key, at least one is valid.
fn other_values(value: &Value) -> Vec<Value> {
    const TEXTS: [&str; 26] = [
        "https://api.telegram.org/botOTHER/sendMessage",
        "7",
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
        "message.text == 'other'",
        "{\"other\": {{ event.id }}}",
    ];
    const ITEMS: [&str; 4] =
        ["ONIMV2JOINCHAT", "sales", "7", "whsec_QSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBubyBtb3JlLg=="];
    match &value.kind {
        ValueKind::Boolean(value) => vec![Value::new(None, !value)],
        ValueKind::String(_) => TEXTS.map(|text| Value::new(None, text)).to_vec(),
        ValueKind::Array(_) => ITEMS.map(|item| Value::new(None, vec![item])).to_vec(),
        _ => vec![Value::new(None, 7)],
    }
}

/// The ends of keys that cannot change in the reference without another one.
const NEVER_ALONE: [&str; 8] = [
    ".kind",
    ".private_networks",
    ".type",
    ".with_user_events",
    ".office.oauth.portal",
    ".tracker.format",
    ".form.format",
    ".telegram.format",
];

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
        ("s3cr3t-path", "another-path"),
        ("{\"text\"", "{\"body\""),
    ];
    let (part, other) = parts.into_iter().find(|(part, _)| text.contains(part)).unwrap();
    text.replace(part, other)
}

/// Writes the files of `from`, with other secrets, to `to`.
fn change_secrets(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let file = entry.unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        fs::write(to.join(file.file_name()), other_secret(&text)).unwrap();
    }
}

/// `None` if it is invalid.
fn config_of_tree(tree: &Value, directory: &Path) -> Option<Config> {
    let (config, violations) = read_tree(tree, directory);
    config.filter(|_| violations.is_empty())
}

fn read_tree(tree: &Value, directory: &Path) -> (Option<Config>, Vec<Violation>) {
    let findings = Findings::default();
    let config = read::read(tree.clone(), &SecretFiles::new(None, Some(directory)), &findings);
    (config, findings.into_violations())
}

/// The path and the value of each key of a tree.
fn keys(tree: &Value) -> Vec<(Vec<String>, Value)> {
    let ValueKind::Table(entries) = &tree.kind else { return vec![(Vec::new(), tree.clone())] };
    let below = entries.iter().flat_map(|(key, value)| {
        let under = |(path, value): (Vec<String>, Value)| ([vec![key.clone()], path].concat(), value);
        keys(value).into_iter().map(under)
    });
    below.collect()
}

/// `tree` without the sinks that `path` is not about, because a smaller tree is read sooner.
fn around(path: &[String], tree: &Value) -> Value {
    let mut tree = tree.clone();
    if let ValueKind::Table(sections) = &mut tree.kind
        && let Some(ValueKind::Table(sinks)) = sections.get_mut("sinks").map(|sinks| &mut sinks.kind)
    {
        sinks.retain(|name, _| name == "console" || path.get(1) == Some(name));
    }
    tree
}

fn spelled(path: &[String]) -> String {
    path.iter().map(|part| quote::key(part)).collect::<Vec<_>>().join(".")
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
    let (tree, directory, other_directory) = (reference(), credentials(), tempfile::tempdir().unwrap());
    change_secrets(directory.path(), other_directory.path());
    for (path, value) in keys(&tree) {
        let key = spelled(&path);
        if NEVER_ALONE.iter().any(|end| key.ends_with(end)) {
            continue;
        }
        let others = if key.ends_with("_file") {
            let file = other_directory.path().join(value.to_string());
            vec![Value::new(None, file.to_str().unwrap())]
        } else {
            other_values(&value)
        };
        let tree = around(&path, &tree);
        let before = config_of_tree(&tree, directory.path()).unwrap();
        let mut named = others.iter().filter_map(|other| {
            let after = config_of_tree(&replace(&tree, &path, other), directory.path())?;
            let named: Vec<String> = before.difference(&after).into_iter().map(str::to_owned).collect();
            (!named.is_empty()).then_some(named)
        });
        assert_eq!(named.next(), Some(vec![key]));
    }
}

/// The bounds that an error names, as the reference writes them: `1 to 64` or `"1s" to "5m"`.
fn range(error: &str) -> Option<String> {
    let (rule, _) = error.strip_prefix("must be ")?.split_once(", ")?;
    let (_, bounds) = rule.split_once("from ").unwrap_or(("", rule));
    let (min, max) = bounds.split_once(" to ")?;
    let is_number = max.parse::<f64>().is_ok();
    Some(if is_number { format!("{min} to {max}") } else { format!("\"{min}\" to \"{max}\"") })
}

#[test]
fn the_reference_says_the_range_of_each_key() {
    let (tree, directory, meanings) = (reference(), credentials(), page::meanings(&switched_on()));
    let excessive = [Value::new(None, "99999d"), Value::new(None, "99999TiB"), Value::new(None, -1)];
    let (mut said, mut unsaid) = (BTreeSet::new(), BTreeSet::new());
    for (path, _) in keys(&tree) {
        let key = spelled(&path);
        let Some(meaning) = meanings.get(&key) else { continue };
        let tree = around(&path, &tree);
        for value in &excessive {
            let (_, violations) = read_tree(&replace(&tree, &path, value), directory.path());
            let error = violations.iter().find(|violation| violation.key == key);
            let Some(range) = error.and_then(|error| range(&error.text)) else { continue };
            if meaning.contains(&range) { &mut said } else { &mut unsaid }.insert(format!("{key}: {range}"));
        }
    }
    assert!(said.contains("sinks.archive.retry.max: \"10ms\" to \"1h\""), "{said:#?}");
    assert!(said.contains("sinks.crm.concurrency: 1 to 64"), "{said:#?}");
    // The id is the portal's, and `idle` is the other bound of `idle_max`.
    let others = [
        format!("sources.assistant.bot_id: 1 to {}", i64::MAX),
        "sources.support.poll.idle_max: \"1s\" to \"5m\"".to_owned(),
    ];
    assert_eq!(unsaid, BTreeSet::from(others));
}

#[test]
fn a_secret_that_changes_in_its_file_is_named_by_the_key_of_the_file() {
    let (tree, directory) = (reference(), credentials());
    let before = config_of_tree(&tree, directory.path()).unwrap();
    change_secrets(directory.path(), directory.path());
    let after = config_of_tree(&tree, directory.path()).unwrap();
    // The sink reads the secrets that sign again by itself.
    let of_files: BTreeSet<String> = keys(&tree)
        .iter()
        .map(|(path, _)| spelled(path))
        .filter(|key| key.ends_with("_file") && !key.ends_with(".secrets_file"))
        .collect();
    let named: BTreeSet<String> = before.difference(&after).into_iter().map(str::to_owned).collect();
    assert_eq!(named, of_files);
}

#[test]
fn keys_that_change_only_with_others_are_named_with_them() {
    const BOT: &str = "kind = \"bot\"\nbot_id = 7\nbot_token = \"s3cr3t\"\n";
    const SINK: &str = "type = \"webhook\"\nurl = \"https://b.example/\"\nauth = ";
    let source = |keys: &str| SMALL.replace("[sinks.out]", &format!("{keys}[sinks.out]"));
    let sink = |keys: &str| SMALL.replace("type = \"stdout\"", keys);
    let basic = format!("{SINK}{{ type = \"basic\", user = \"a\", password = \"b\" }}");
    let bearer = format!("{SINK}{{ type = \"bearer\", token = \"c\" }}");
    let file = "type = \"file\"\npath = \"events.jsonl\"";
    for (before, after, named) in [
        (SMALL.to_owned(), sink(file), &["compress", "format", "mode", "path", "type"][..]),
        (SMALL.to_owned(), source(BOT), &["bot_id", "bot_token", "kind", "with_user_events"]),
        (source(BOT), source(&format!("{BOT}with_user_events = true\n")), &["with_user_events"]),
        (sink(&basic), sink(&bearer), &["auth.password", "auth.token", "auth.type", "auth.user"]),
        (sink(&basic), sink(&format!("{basic}\nprivate_networks = \"deny\"")), &["private_networks"]),
    ] {
        let (before, after) = (config_of(&before), config_of(&after));
        let difference = before.difference(&after);
        let of_item = |key: &'static str| difference.iter().any(|path| path.ends_with(&format!(".{key}")));
        assert!(difference.len() == named.len() && named.iter().all(|key| of_item(key)), "{difference:?}");
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
