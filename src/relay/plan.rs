//! From the configuration in force to another one: which sources must end and begin for it, and what a person
//! is told. All others run on, and nothing of a sink that stays as it is gets lost: connections, open files, its
//! breaker.

use std::collections::BTreeSet;
use std::fmt;

use crate::config::{Config, SinkConfig, SourceConfig};

/// What a process keeps as long as it lives.
const AT_NEXT_START: [&str; 3] = ["state", "log.format", "log.level"];

/// See the top of this file.
#[derive(Default, Debug)]
pub struct Plan {
    /// The sources that must end.
    pub ending: BTreeSet<String>,
    /// The sources that must begin; most of them are ending as well.
    pub beginning: BTreeSet<String>,
    /// What is told.
    pub changes: Vec<Change>,
}

/// One thing that is other than before.
#[derive(PartialEq, Eq, Debug)]
pub struct Change {
    /// Its key, or that of its table.
    key: String,
    kind: ChangeKind,
}

#[derive(PartialEq, Eq, Debug)]
enum ChangeKind {
    Added,
    Removed,
    /// In these keys; in itself without any.
    Changed(Vec<&'static str>),
    AtNextStart,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        match &self.kind {
            ChangeKind::Added => f.write_str("added"),
            ChangeKind::Removed => f.write_str("removed"),
            ChangeKind::Changed(keys) if keys.is_empty() => f.write_str("changed"),
            ChangeKind::Changed(keys) => write!(f, "changed ({})", keys.join(", ")),
            ChangeKind::AtNextStart => f.write_str("takes effect at the next start"),
        }
    }
}

impl Plan {
    /// What it takes to get from `before` to `after`.
    pub fn new(before: &Config, after: &Config) -> Self {
        let names = |config: &Config| -> BTreeSet<String> {
            config.sources.iter().map(|source| source.name.clone()).collect()
        };
        let stays: BTreeSet<&str> = before
            .sources
            .iter()
            .filter(|source| after.sources.contains(source) && is_undisturbed(source, before, after))
            .map(|source| source.name.as_str())
            .collect();
        let others =
            |config| names(config).into_iter().filter(|name| !stays.contains(name.as_str())).collect();
        let sources = compare(
            "sources",
            &before.sources,
            &after.sources,
            |source| &source.name,
            |one, other| one.difference(other),
        );
        let sinks = compare(
            "sinks",
            &before.sinks,
            &after.sinks,
            |sink| &sink.name,
            |one, other| one.difference(other),
        );
        let changes = top_level(before, after).chain(sources).chain(sinks).collect();
        Self { ending: others(before), beginning: others(after), changes }
    }
}

/// Whether nothing that `source`, the same in both, is made of has changed.
fn is_undisturbed(source: &SourceConfig, before: &Config, after: &Config) -> bool {
    let portal = source.portal().authority();
    before.delivery == after.delivery
        && before.rate_of(&portal) == after.rate_of(&portal)
        && have_same_takers(&takers(source, before), &takers(source, after))
}

fn takers<'a>(source: &SourceConfig, config: &'a Config) -> Vec<&'a SinkConfig> {
    config.sinks.iter().filter(|sink| sink.takes_source(&source.name)).collect()
}

fn have_same_takers(before: &[&SinkConfig], after: &[&SinkConfig]) -> bool {
    before.len() == after.len() && before.iter().all(|sink| after.iter().any(|other| sink.takes_as(other)))
}

fn top_level(before: &Config, after: &Config) -> impl Iterator<Item = Change> {
    before.difference(after).into_iter().map(|key| {
        let is_fixed = AT_NEXT_START.contains(&key);
        let kind = if is_fixed { ChangeKind::AtNextStart } else { ChangeKind::Changed(Vec::new()) };
        Change { key: key.to_owned(), kind }
    })
}

/// What is in only one of two lists, or differs between them, under `table`.
fn compare<T: PartialEq>(
    table: &str,
    before: &[T],
    after: &[T],
    name: impl Fn(&T) -> &String,
    difference: impl Fn(&T, &T) -> Vec<&'static str>,
) -> Vec<Change> {
    let change = |item: &T, kind| Change { key: format!("{table}.{}", name(item)), kind };
    let is_in = |list: &[T], item: &T| list.iter().any(|other| name(other) == name(item));
    let removed =
        before.iter().filter(|item| !is_in(after, item)).map(|item| change(item, ChangeKind::Removed));
    let others =
        after.iter().filter_map(|item| match before.iter().find(|other| name(other) == name(item)) {
            None => Some(change(item, ChangeKind::Added)),
            Some(other) if other == item => None,
            Some(other) => Some(change(item, ChangeKind::Changed(difference(other, item)))),
        });
    removed.chain(others).collect()
}
