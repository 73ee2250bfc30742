//! Reads the merged tree table by table. A bad value is reported and reading continues; keys that are left
//! when a table closes are unknown. So one run reports all violations.

use std::collections::BTreeMap;
use std::hash::Hash;

use config::{Value, ValueKind};

use crate::config::error::Violation;
use crate::config::parse::findings::Findings;
use crate::config::parse::findings::place;
use crate::config::parse::keys::Fingerprint;
use crate::config::parse::quote;
use crate::config::parse::variables::variable;
use crate::config::parse::variables::variable_names;

/// One table of the tree. Keys are taken out as they are read.
pub(crate) struct Table<'f> {
    path: String,
    entries: BTreeMap<String, Value>,
    known: Vec<&'static str>,
    findings: &'f Findings,
}

impl Table<'_> {
    /// Reads a whole tree. Keys that `read` does not take are unknown.
    pub(crate) fn read_root<T>(
        tree: Value,
        findings: &Findings,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> T {
        Table::open(String::new(), tree, findings, read)
    }

    /// The value at `key`; `None` if it is missing or invalid. An invalid value is reported.
    pub(crate) fn take<T: Hash>(
        &mut self,
        key: &'static str,
        leaf: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        self.take_as(key, leaf, |value| Fingerprint::of(value))
    }

    /// Like [`Table::take`], but a missing or invalid value is replaced by `default`.
    pub(crate) fn take_or<T: Hash>(
        &mut self,
        key: &'static str,
        leaf: impl FnOnce(&Value) -> Result<T, String>,
        default: T,
    ) -> T {
        self.take(key, leaf).unwrap_or_else(|| self.default(key, default))
    }

    /// Like [`Table::take`], but two values are the same if `fingerprint` is.
    pub(crate) fn take_as<T>(
        &mut self,
        key: &'static str,
        leaf: impl FnOnce(&Value) -> Result<T, String>,
        fingerprint: impl FnOnce(&T) -> Fingerprint,
    ) -> Option<T> {
        self.known.push(key);
        let given = self.entries.remove(key);
        let path = self.path_of(key);
        self.findings.ask(&path, given.as_ref());
        match leaf(&given?) {
            Ok(value) => {
                self.findings.record(path, fingerprint(&value));
                Some(value)
            }
            Err(text) => {
                self.findings.report(path, text);
                None
            }
        }
    }

    /// Returns the value of `key`, which is not given.
    pub(crate) fn default<T: Hash>(&self, key: &str, value: T) -> T {
        self.findings.record(self.path_of(key), Fingerprint::of(&value));
        value
    }

    /// Like [`Table::take`], but a missing key is reported too, with the hint `hint`.
    pub(crate) fn require<T: Hash>(
        &mut self,
        key: &'static str,
        hint: &str,
        leaf: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let is_given = self.has(key);
        let value = self.take(key, leaf);
        if !is_given {
            self.report(key, format!("is missing: {hint}"));
        }
        value
    }

    /// Reads the table at `key`. A missing table reads as empty.
    pub(crate) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Table<'_>) -> T) -> T {
        self.known.push(key);
        let value = self.entries.remove(key).unwrap_or_else(empty);
        Table::open(self.path_of(key), value, self.findings, read)
    }

    /// Like [`Table::table`], but `None` if it is missing or not a table. The latter is reported.
    pub(crate) fn given_table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.entries.remove(key)?;
        Table::open_table(self.path_of(key), value, self.findings, read)
    }

    /// Reads every entry as a table whose name the operator chose, in the order of names.
    pub(crate) fn named<T>(&mut self, mut read: impl FnMut(&str, &mut Table<'_>) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for (name, value) in std::mem::take(&mut self.entries) {
            let path = self.path_of(&quote::key(&name));
            all.extend(Table::open_table(path, value, self.findings, |table| read(&name, table)));
        }
        all
    }

    /// Reads every entry as a value whose name the operator chose, in the order of names, and reports
    /// violations.
    pub(crate) fn entries<T: Hash>(
        &mut self,
        mut leaf: impl FnMut(&str, &Value) -> Result<T, String>,
    ) -> Vec<T> {
        let mut all = Vec::new();
        for (name, value) in std::mem::take(&mut self.entries) {
            let path = self.path_of(&quote::key(&name));
            self.findings.ask(&path, Some(&value));
            match leaf(&name, &value) {
                Ok(value) => {
                    self.findings.record(path, Fingerprint::of(&value));
                    all.push(value);
                }
                Err(text) => self.findings.report(path, text),
            }
        }
        all
    }

    /// Refuses `keys` if they are given, because of `reason`.
    pub(crate) fn refuse(&mut self, keys: &[&str], reason: &str) {
        for key in keys {
            if let Some(value) = self.entries.remove(*key) {
                let path = self.path_of(key);
                self.findings.ask(&path, Some(&value));
                self.findings.report(path, reason);
            }
        }
    }

    /// Removes `keys` without reading them.
    pub(crate) fn skip(&mut self, keys: &[&str]) {
        self.entries.retain(|key, _| !keys.contains(&key.as_str()));
    }

    /// True if `key` is given and not yet taken.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The number of entries that are given and not yet taken.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Reports that `key` of this table breaks a rule.
    pub(crate) fn report(&self, key: &str, text: impl Into<String>) {
        self.findings.report(self.path_of(key), text);
    }

    /// Adds a notice about `key` of this table, which breaks no rule.
    pub(crate) fn notice(&self, key: &str, text: impl Into<String>) {
        self.findings.notice(self.path_of(key), text);
    }

    /// Reports that this table as a whole breaks a rule.
    pub(crate) fn report_self(&self, text: impl Into<String>) {
        self.findings.report(self.path.clone(), text);
    }

    fn open_table<T>(
        path: String,
        value: Value,
        findings: &Findings,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> Option<T> {
        if matches!(value.kind, ValueKind::Table(_)) {
            return Some(Table::open(path, value, findings, read));
        }
        findings.ask(&path, Some(&value));
        let respelled = variable(&path, &value).and_then(|variable| variable_names::respelled(&variable));
        let hint = respelled.map_or_else(String::new, |name| format!(": {}", did_you_mean(&name)));
        findings.report(path, format!("must be a table, not {}{hint}", quote::kind(&value)));
        None
    }

    fn open<T>(path: String, value: Value, findings: &Findings, read: impl FnOnce(&mut Table<'_>) -> T) -> T {
        let mut table = Table { path, entries: BTreeMap::new(), known: Vec::new(), findings };
        if let ValueKind::Table(entries) = value.kind {
            table.entries.extend(entries);
        } else {
            findings.ask(&table.path, Some(&value));
            table.report_self(format!("must be a table, not {}", quote::kind(&value)));
        }
        let outcome = read(&mut table);
        table.close();
        outcome
    }

    fn close(self) {
        for (key, value) in &self.entries {
            let path = self.path_of(&quote::key(key));
            let (place, variable) = (place(&path, value), variable(&path, value));
            let respelled = variable.and_then(|variable| variable_names::respelled(&variable));
            let suggestion = respelled.map_or_else(|| self.suggestion(key), |name| did_you_mean(&name));
            let text = format!("unknown key, {suggestion}");
            self.findings.push(Violation { key: path, text, place });
        }
    }

    fn suggestion(&self, key: &str) -> String {
        nearest(key, &self.known).map_or_else(|| self.valid_keys(), did_you_mean)
    }

    fn valid_keys(&self) -> String {
        let known: Vec<String> = self.known.iter().map(|key| format!("`{key}`")).collect();
        format!("valid here: {}", known.join(", "))
    }

    /// The full path of `key` of this table.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The candidate most similar to `key`, if any is similar enough.
pub(crate) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    const CLOSE: f64 = 0.85;
    let likeness = |candidate: &str| strsim::jaro_winkler(&key.to_lowercase(), candidate);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= CLOSE).then_some(best)
}

/// The first variable that set a part of a value, if any did.
fn variable(path: &str, value: &Value) -> Option<String> {
    match (value.origin(), &value.kind) {
        (Some(variable::ORIGIN), _) => Some(variable::variable(path)),
        (_, ValueKind::Table(entries)) => {
            let entries: BTreeMap<_, _> = entries.iter().collect();
            entries.into_iter().find_map(|(key, value)| variable(&format!("{path}.{key}"), value))
        }
        _ => None,
    }
}

/// Where a value was written. A table that only variables make up has no place of its own: then it is
/// that of its first key that has one.
fn empty() -> Value {
    Value::new(None, ValueKind::Table(config::Map::new()))
}
