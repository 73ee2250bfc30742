//! Reads the merged tree table by table. A bad value is reported and reading continues; keys that are left
//! when a table closes are unknown. So one run reports all violations.

use std::cell::RefCell;
use std::collections::BTreeMap;

use config::{Value, ValueKind};

use super::error::Violation;
use super::shown;
use super::{environment, variable_names};

/// The findings of reading, shared by all tables of one tree.
#[derive(Default, Debug)]
pub(super) struct Findings {
    violations: RefCell<Vec<Violation>>,
    notices: RefCell<Vec<Violation>>,
    asked: RefCell<BTreeMap<String, Option<String>>>,
}

impl Findings {
    /// Reports that the value at `key` breaks a rule.
    pub(super) fn report(&self, key: impl Into<String>, text: impl Into<String>) {
        let violation = self.at(key.into(), text.into());
        self.violations.borrow_mut().push(violation);
    }

    /// Adds a notice about `key`, which breaks no rule.
    pub(super) fn notice(&self, key: impl Into<String>, text: impl Into<String>) {
        let notice = self.at(key.into(), text.into());
        self.notices.borrow_mut().push(notice);
    }

    fn at(&self, key: String, text: String) -> Violation {
        let place = self.asked.borrow().get(&key).cloned().flatten();
        Violation { key, text, place }
    }

    /// All notices, one line each, in the order they were found.
    pub(super) fn take_notices(&self) -> Vec<String> {
        self.notices.take().iter().map(ToString::to_string).collect()
    }

    /// Every key that was requested, given or not.
    #[cfg(test)]
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.borrow().keys().cloned().collect()
    }

    /// All violations, in the order they were found.
    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.violations.into_inner()
    }

    fn ask(&self, key: &str, value: Option<&Value>) {
        let place = value.and_then(|value| place(key, value));
        self.asked.borrow_mut().insert(key.to_owned(), place);
    }
}

/// One table of the tree. Keys are taken out as they are read.
pub(super) struct Table<'f> {
    path: String,
    entries: BTreeMap<String, Value>,
    known: Vec<&'static str>,
    findings: &'f Findings,
}

impl Table<'_> {
    /// Reads a whole tree. Keys that `read` does not take are unknown.
    pub(super) fn read_root<T>(
        tree: Value,
        findings: &Findings,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> T {
        Table::open(String::new(), tree, findings, read)
    }

    /// The value at `key`; `None` if it is missing or invalid. An invalid value is reported.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        leaf: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.entries.remove(key);
        let path = self.path_of(key);
        self.findings.ask(&path, value.as_ref());
        leaf(&value?).map_err(|text| self.findings.report(path, text)).ok()
    }

    /// Like [`Table::take`], but a missing key is reported too, with the hint `way_out`.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        way_out: &str,
        leaf: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let is_given = self.has(key);
        let value = self.take(key, leaf);
        if !is_given {
            self.report(key, format!("is missing: {way_out}"));
        }
        value
    }

    /// Reads the table at `key`. A missing table reads as empty.
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Table<'_>) -> T) -> T {
        self.known.push(key);
        let value = self.entries.remove(key).unwrap_or_else(empty);
        Table::open(self.path_of(key), value, self.findings, read)
    }

    /// Like [`Table::table`], but `None` if it is missing or not a table. The latter is reported.
    pub(super) fn given_table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.entries.remove(key)?;
        Table::open_table(self.path_of(key), value, self.findings, read)
    }

    /// Reads every entry as a table whose name the operator chose, in the order of names.
    pub(super) fn named<T>(&mut self, mut read: impl FnMut(&str, &mut Table<'_>) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for (name, value) in std::mem::take(&mut self.entries) {
            let path = self.path_of(&shown::key(&name));
            all.extend(Table::open_table(path, value, self.findings, |table| read(&name, table)));
        }
        all
    }

    /// Reads every entry as a value whose name the operator chose, in the order of names, and reports
    /// violations.
    pub(super) fn entries<T>(&mut self, mut leaf: impl FnMut(&str, &Value) -> Result<T, String>) -> Vec<T> {
        let mut all = Vec::new();
        for (name, value) in std::mem::take(&mut self.entries) {
            let path = self.path_of(&shown::key(&name));
            self.findings.ask(&path, Some(&value));
            all.extend(leaf(&name, &value).map_err(|text| self.findings.report(path, text)).ok());
        }
        all
    }

    /// Refuses `keys` if they are given, because of `reason`.
    pub(super) fn refuse(&mut self, keys: &[&str], reason: &str) {
        for key in keys {
            if let Some(value) = self.entries.remove(*key) {
                let path = self.path_of(key);
                self.findings.ask(&path, Some(&value));
                self.findings.report(path, reason);
            }
        }
    }

    /// Removes `keys` without reading them.
    pub(super) fn skip(&mut self, keys: &[&str]) {
        self.entries.retain(|key, _| !keys.contains(&key.as_str()));
    }

    /// True if `key` is given and not yet taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The number of entries that are given and not yet taken.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Reports that `key` of this table breaks a rule.
    pub(super) fn report(&self, key: &str, text: impl Into<String>) {
        self.findings.report(self.path_of(key), text);
    }

    /// Adds a notice about `key` of this table, which breaks no rule.
    pub(super) fn notice(&self, key: &str, text: impl Into<String>) {
        self.findings.notice(self.path_of(key), text);
    }

    /// Reports that this table as a whole breaks a rule.
    pub(super) fn report_self(&self, text: impl Into<String>) {
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
        findings.report(path, format!("must be a table, not {}{hint}", shown::kind(&value)));
        None
    }

    fn open<T>(path: String, value: Value, findings: &Findings, read: impl FnOnce(&mut Table<'_>) -> T) -> T {
        let mut table = Table { path, entries: BTreeMap::new(), known: Vec::new(), findings };
        if let ValueKind::Table(entries) = value.kind {
            table.entries.extend(entries);
        } else {
            findings.ask(&table.path, Some(&value));
            table.report_self(format!("must be a table, not {}", shown::kind(&value)));
        }
        let outcome = read(&mut table);
        table.close();
        outcome
    }

    fn close(self) {
        for (key, value) in &self.entries {
            let path = self.path_of(&shown::key(key));
            let (place, variable) = (place(&path, value), variable(&path, value));
            let respelled = variable.and_then(|variable| variable_names::respelled(&variable));
            let suggestion = respelled.map_or_else(|| self.suggestion(key), |name| did_you_mean(&name));
            let text = format!("unknown key, {suggestion}");
            self.findings.violations.borrow_mut().push(Violation { key: path, text, place });
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
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The candidate most similar to `key`, if any is similar enough.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    const CLOSE: f64 = 0.85;
    let likeness = |candidate: &str| strsim::jaro_winkler(&key.to_lowercase(), candidate);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= CLOSE).then_some(best)
}

/// The first variable that set a part of a value, if any did.
fn variable(path: &str, value: &Value) -> Option<String> {
    match (value.origin(), &value.kind) {
        (Some(environment::ORIGIN), _) => Some(environment::variable(path)),
        (_, ValueKind::Table(entries)) => {
            let entries: BTreeMap<_, _> = entries.iter().collect();
            entries.into_iter().find_map(|(key, value)| variable(&format!("{path}.{key}"), value))
        }
        _ => None,
    }
}

/// The place of a value. A table that consists only of variables has no place, so the place of its first key
/// that has one is used.
fn place(path: &str, value: &Value) -> Option<String> {
    match (value.origin(), &value.kind) {
        (Some(environment::ORIGIN), _) => Some(format!("set by `{}`", environment::variable(path))),
        (Some(origin), _) => Some(origin.to_owned()),
        (None, ValueKind::Table(entries)) => {
            let entries: BTreeMap<_, _> = entries.iter().collect();
            entries.into_iter().find_map(|(key, value)| place(&format!("{path}.{key}"), value))
        }
        (None, _) => None,
    }
}

fn empty() -> Value {
    Value::new(None, ValueKind::Table(config::Map::new()))
}
