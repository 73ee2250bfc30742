//! Generates `docs/reference/configuration.md` from `config/b24relay.toml` and keeps both in sync.
//!
//! The TOML file has every key and its default, and `reference` compares it with the keys that are read. This
//! module only lays out the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::tests::reference::REQUIRED_ONLY;

const RENEW: &str = "RENEW=1 cargo test --lib configuration_page";

/// The comment of a key for every type of sink begins with this text.
const OF_ALL: &str = "All sinks: ";

/// The keys under one header.
struct Section {
    /// For example `sinks.NAME` and `webhook`.
    name: String,
    kind: String,
    /// The heading and text of the group of sections that begins here.
    group: Option<Vec<String>>,
    intro: Vec<String>,
    rows: Vec<Row>,
}

/// One key, or several keys that share a description.
struct Row {
    keys: Vec<Key>,
    meaning: Vec<String>,
}

struct Key {
    name: String,
    value: String,
    /// The key's path in the file, such as `sinks.crm.url`.
    path: String,
}

/// The state while the reference is read line by line.
#[derive(Default)]
struct Reference {
    preface: Vec<String>,
    sections: Vec<Section>,
    /// The comment lines since the last key or empty line.
    comment: Vec<String>,
    /// The last banner, until a section begins.
    group: Option<Vec<String>>,
    is_in_banner: bool,
    /// The current header, its comment, and the names of sinks with their types.
    header: String,
    header_comment: Vec<String>,
    kinds: Vec<(String, String)>,
    /// The index of the section if the previous line was one of its keys.
    sibling_path: Option<usize>,
}

impl Reference {
    fn parse(text: &str) -> Self {
        let mut reference = Self::default();
        for line in text.lines() {
            reference.read(line);
        }
        reference
    }

    fn read(&mut self, line: &str) {
        let sibling_path = self.sibling_path.take();
        if line.starts_with("# ---") {
            self.is_in_banner = !self.is_in_banner;
            if !self.is_in_banner {
                self.group = Some(std::mem::take(&mut self.comment));
            }
        } else if let Some(said) = line.strip_prefix("# ").or((line == "#").then_some("")) {
            self.comment.push(said.to_owned());
        } else if line.is_empty() {
            if self.sections.is_empty() && self.preface.is_empty() {
                self.preface = std::mem::take(&mut self.comment);
            }
            self.comment.clear();
        } else {
            let line = line.strip_prefix('#').unwrap_or(line);
            match line.split_once(" = ") {
                _ if line.starts_with('[') => self.begin(line.trim_matches(['[', ']'])),
                Some((key, value)) => self.add(key, value, sibling_path),
                None => panic!("neither a comment nor a key: {line}"),
            }
        }
    }

    fn begin(&mut self, header: &str) {
        header.clone_into(&mut self.header);
        self.header_comment = std::mem::take(&mut self.comment);
    }

    fn add(&mut self, key: &str, value: &str, sibling_path: Option<usize>) {
        let sink = self.header.strip_prefix("sinks.").map(|rest| rest.split('.').next().unwrap().to_owned());
        if let (Some(sink), "type", false) = (&sink, key, self.header.matches('.').count() > 1) {
            self.kinds.push((sink.clone(), value.trim_matches('"').to_owned()));
        }
        let path = if self.header.is_empty() { key.to_owned() } else { format!("{}.{key}", self.header) };
        let key = Key { name: key.to_owned(), value: value.to_owned(), path };
        let mut meaning = std::mem::take(&mut self.comment);
        let is_of_all = meaning.first().is_some_and(|said| said.starts_with(OF_ALL));
        let name = anonymous(&self.header);
        let kind = match sink {
            Some(sink) if name == "sinks.NAME" && !is_of_all => {
                self.kinds.iter().find(|(other, _)| *other == sink).unwrap().1.clone()
            }
            _ => String::new(),
        };
        if meaning.is_empty() && self.is_known(&name, &kind, &key.name) {
            return;
        }
        let at = self.section(name, kind);
        if meaning.is_empty() {
            if let (Some(sibling_path), Some(row)) = (sibling_path, self.sections[at].rows.last_mut())
                && sibling_path == at
            {
                row.keys.push(key);
                self.sibling_path = Some(at);
                return;
            }
            meaning = std::mem::take(&mut self.sections[at].intro);
        }
        self.sections[at].rows.push(Row { keys: vec![key], meaning });
        self.sibling_path = Some(at);
    }

    fn is_known(&self, name: &str, kind: &str, key: &str) -> bool {
        let mut sections = self.sections.iter().filter(|section| section.name == name);
        let has_key =
            |section: &Section| section.rows.iter().flat_map(|row| &row.keys).any(|known| known.name == key);
        sections.any(|section| (section.kind == kind || section.kind.is_empty()) && has_key(section))
    }

    /// The index of the section. A new section gets the comment of its header.
    fn section(&mut self, name: String, kind: String) -> usize {
        let found = self.sections.iter().position(|section| section.name == name && section.kind == kind);
        found.unwrap_or_else(|| {
            // A comment on the file sink does not apply to all sinks.
            let is_general = name == "sinks.NAME" && kind.is_empty();
            let intro = if is_general { Vec::new() } else { std::mem::take(&mut self.header_comment) };
            self.sections.push(Section { name, kind, group: self.group.take(), intro, rows: Vec::new() });
            self.sections.len() - 1
        })
    }
}

/// The description of each key, by the key's path in the file.
pub(super) fn meanings(reference: &str) -> BTreeMap<String, String> {
    let rows = Reference::parse(reference).sections.into_iter().flat_map(|section| section.rows);
    let described = |Row { keys, meaning }: Row| {
        let meaning = joined(&meaning);
        keys.into_iter().map(move |key| (key.path, meaning.clone()))
    };
    rows.flat_map(described).collect()
}

/// Replaces names: `sinks.crm.tls` becomes `sinks.NAME.tls`.
fn anonymous(header: &str) -> String {
    if let Some((_, below)) = header.strip_prefix("portals.\"").and_then(|rest| rest.split_once('"')) {
        return format!("portals.\"HOST\"{below}");
    }
    let mut parts: Vec<&str> = header.split('.').collect();
    if let ["sources" | "sinks", name, ..] = &mut parts[..] {
        *name = "NAME";
    }
    parts.join(".")
}

/// The keys without a default, such as `sinks.crm.url`.
fn required() -> BTreeSet<String> {
    let mut header = String::new();
    let mut paths = BTreeSet::new();
    for line in REQUIRED_ONLY.lines().map(str::trim) {
        if line.starts_with('[') {
            header = line.trim_matches(['[', ']']).to_lowercase();
        } else if let Some((key, value)) = line.split_once(" = ") {
            let path = format!("{header}.{key}").to_lowercase();
            for inner in value.trim_matches(['{', '}', ' ']).split(", ") {
                paths.extend(
                    inner.split_once(" = ").map(|(inner, _)| format!("{path}.{inner}").to_lowercase()),
                );
            }
            paths.insert(path);
        }
    }
    paths
}

/// Renders the page.
fn page(reference: &str) -> String {
    let (reference, required) = (Reference::parse(reference), required());
    let mut page = format!(
        "# Configuration\n\nEvery key, its default and its effect. Made from \
         [`config/b24relay.toml`](../../config/b24relay.toml).\nChange that file, then run \
         `{RENEW}`.\n"
    );
    let is_of_the_file = |text: &&str| !text.starts_with("b24relay: ") && !text.starts_with("How to read");
    let preface = reference.preface.join("\n");
    for text in preface.split("\n\n").filter(is_of_the_file) {
        write!(page, "\n{}\n", escaped(text)).unwrap();
    }
    for section in &reference.sections {
        if let Some(group) = &section.group {
            let text = group.join("\n");
            let (title, text) = text.split_once(": ").unwrap();
            let mut text = text.to_owned();
            text[..1].make_ascii_uppercase();
            write!(page, "\n## {title}\n").unwrap();
            for text in text.split("\n\n") {
                write!(page, "\n{}\n", escaped(text)).unwrap();
            }
        }
        page.push_str(&shown(section, &required));
    }
    page
}

fn shown(section: &Section, required: &BTreeSet<String>) -> String {
    let title = match (section.name.as_str(), section.kind.as_str()) {
        ("", _) => "Top level".to_owned(),
        (name @ "sinks.NAME", "") => format!("`[{name}]` of any type"),
        (name, "") => format!("`[{name}]`"),
        (name, kind) => format!("`[{name}]` with `type = \"{kind}\"`"),
    };
    let depth = if section.name.contains('.') { "###" } else { "##" };
    let mut text = format!("\n{depth} {title}\n");
    if !section.intro.is_empty() {
        write!(text, "\n{}\n", escaped(&section.intro.join("\n"))).unwrap();
    }
    text.push_str("\n| Key | Default | |\n|---|---|---|\n");
    for row in &section.rows {
        let said = joined(&row.meaning);
        assert!(!said.is_empty(), "nothing is said of `{}`", row.keys[0].path);
        let (said, default) = without_default(said.trim_start_matches(OF_ALL));
        let cells = row.keys.iter().map(|key| {
            let has_none = required.contains(&key.path.to_lowercase());
            match (&default, has_none) {
                (Some(default), _) => default.clone(),
                (None, false) => format!("`{}`", key.value),
                (None, true) if said.contains("equired") => "required".to_owned(),
                (None, true) => "none".to_owned(),
            }
        });
        let mut cells: Vec<String> = cells.collect();
        cells.dedup();
        let examples = row.keys.iter().filter(|key| required.contains(&key.path.to_lowercase()));
        let examples: Vec<String> = examples.map(|key| format!("`{}`", key.value)).collect();
        let gap = if said.contains("<br>") { "<br>" } else { " " };
        let example = if examples.is_empty() {
            String::new()
        } else {
            format!("{gap}Example: {}", examples.join(", "))
        };
        let keys: Vec<String> = row.keys.iter().map(|key| format!("`{}`", key.name)).collect();
        let (keys, cells) = (keys.join(", "), escaped(&cells.join(", ")));
        writeln!(text, "| {keys} | {cells} | {}{} |", escaped(&capital(&said)), escaped(&example)).unwrap();
    }
    text
}

/// Joins lines into a paragraph. Indented lines stay separate lines.
fn joined(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        let is_list = line.starts_with("  ");
        text.push_str(match (text.is_empty(), is_list) {
            (true, _) => "",
            (false, true) => "<br>",
            (false, false) if text.ends_with(':') => " ",
            (false, false) if text.contains("<br>") && !text.contains("<br><br>") => "<br><br>",
            (false, false) => " ",
        });
        text.push_str(&line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    text.replace("<br><br>", "<br>")
}

/// Splits the description of the default off the text.
fn without_default(text: &str) -> (String, Option<String>) {
    let Some((before, rest)) = text.split_once("Default: ") else { return (text.to_owned(), None) };
    let (default, behind) = rest.split_once(". ").unwrap_or((rest.trim_end_matches('.'), ""));
    let left = format!("{} {behind}", before.trim_end_matches("<br>").trim_end());
    (left.trim().to_owned(), Some(default.to_owned()))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Escapes the characters that are special in Markdown.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(at, part)| {
        let part = part.replace('|', "\\|");
        if at % 2 == 1 { part } else { part.replace('*', "\\*") }
    });
    parts.collect::<Vec<_>>().join("`")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Reads the file at `path`. If `RENEW` is set, first writes `made` to it.
#[expect(clippy::disallowed_methods, reason = "no test sets it, whoever renews the page does")]
pub(crate) fn renewed(path: &Path, made: &str) -> String {
    if std::env::var_os("RENEW").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, made).unwrap();
    }
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_configuration_page_says_what_the_reference_says() {
    let reference = fs::read_to_string(root().join("config/b24relay.toml")).unwrap();
    let made = page(&reference);
    let there = renewed(&root().join("docs/reference/configuration.md"), &made);
    assert!(there == made, "docs/reference/configuration.md is out of date; renew it with:\n  {RENEW}");
}

#[test]
fn the_configuration_page_tells_defaults_from_examples() {
    let reference = fs::read_to_string(root().join("config/b24relay.toml")).unwrap();
    let page = page(&reference);
    for row in [
        "\n| `shutdown_grace` | `\"30s\"` | ",
        "\n| `webhook_url` | none | ",
        "\n| `kind` | `\"user\"` | ",
        "\n| `concurrency` | 8; 1 where `ordering` is \"strict\" | ",
        "\n| `events` | all | The types of the events",
        "\n| `min`, `max` | `\"1s\"`, `\"5m\"` | The delay between attempts",
        "\n| `path` | required | The file.",
        "\n| `url_file` | none | The file that holds the address. Replaces `url`. Example: `\"tickets.url\"` |",
        "\n### `[sinks.NAME]` with `type = \"webhook\"`\n",
        "<br>\"paused\" it waits,",
    ] {
        assert!(page.contains(row), "no {row} in {page}");
    }
}
