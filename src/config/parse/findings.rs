//! What reading brought to light.

use std::cell::RefCell;
use std::collections::BTreeMap;

use config::{Value, ValueKind};

use crate::config::error::Violation;
use crate::config::parse::keys::{Fingerprint, Keys};
use crate::config::parse::variables::variable;

/// The findings of reading, shared by all tables of one tree.
#[derive(Default, Debug)]
pub(crate) struct Findings {
    violations: RefCell<Vec<Violation>>,
    notices: RefCell<Vec<Violation>>,
    asked: RefCell<BTreeMap<String, Option<String>>>,
    keys: RefCell<Keys>,
}

impl Findings {
    /// Reports that the value at `key` breaks a rule.
    pub(crate) fn report(&self, key: impl Into<String>, text: impl Into<String>) {
        let violation = self.at(key.into(), text.into());
        self.violations.borrow_mut().push(violation);
    }

    /// Adds a notice about `key`, which breaks no rule.
    pub(crate) fn notice(&self, key: impl Into<String>, text: impl Into<String>) {
        let notice = self.at(key.into(), text.into());
        self.notices.borrow_mut().push(notice);
    }

    /// Notes a violation whose place is known already.
    pub(crate) fn push(&self, violation: Violation) {
        self.violations.borrow_mut().push(violation);
    }

    fn at(&self, key: String, text: String) -> Violation {
        let place = self.asked.borrow().get(&key).cloned().flatten();
        Violation { key, text, place }
    }

    /// All notices, one line each, in the order they were found.
    pub(crate) fn take_notices(&self) -> Vec<String> {
        self.notices.take().iter().map(ToString::to_string).collect()
    }

    /// Every key that was requested, given or not.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.borrow().keys().cloned().collect()
    }

    /// Records the value of `key`.
    pub(crate) fn record(&self, key: String, value: Fingerprint) {
        self.keys.borrow_mut().record(key, value);
    }

    /// Every key that has a value.
    pub(crate) fn take_keys(&self) -> Keys {
        self.keys.take()
    }

    /// All violations, in the order they were found.
    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.violations.into_inner()
    }

    pub(crate) fn ask(&self, key: &str, value: Option<&Value>) {
        let place = value.and_then(|value| place(key, value));
        self.asked.borrow_mut().insert(key.to_owned(), place);
    }
}

/// The place of a value. A table that consists only of variables has no place, so the place of its first key
/// that has one is used.
pub(crate) fn place(path: &str, value: &Value) -> Option<String> {
    match (value.origin(), &value.kind) {
        (Some(variable::ORIGIN), _) => Some(format!("set by `{}`", variable::variable(path))),
        (Some(origin), _) => Some(origin.to_owned()),
        (None, ValueKind::Table(entries)) => {
            let entries: BTreeMap<_, _> = entries.iter().collect();
            entries.into_iter().find_map(|(key, value)| place(&format!("{path}.{key}"), value))
        }
        (None, _) => None,
    }
}
