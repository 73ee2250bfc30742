//! The record of every key that was read, from which the difference between two configurations is found. A
//! value is recorded as a fingerprint only, because it may be a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::LazyLock;

/// The key of the fingerprints, which differs from process to process.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Stands for a value in comparisons.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn of(value: &(impl Hash + ?Sized)) -> Self {
        Self(HASHER.hash_one(value))
    }
}

/// The full path of every key that has a value, given or by default. `Debug` shows the paths alone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Keys(BTreeMap<String, Fingerprint>);

impl Keys {
    pub(crate) fn record(&mut self, path: String, value: Fingerprint) {
        self.0.insert(path, value);
    }

    /// Records for `key` what `other` has recorded for it.
    pub(crate) fn keep(&mut self, key: &str, other: &Self) {
        self.0.extend(other.0.get_key_value(key).map(|(key, value)| (key.clone(), *value)));
    }

    /// The keys whose values differ, in alphabetical order.
    pub(crate) fn difference<'k>(&'k self, other: &'k Self) -> BTreeSet<&'k str> {
        let all: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let differing = all.into_iter().filter(|key| self.0.get(*key) != other.0.get(*key));
        differing.map(String::as_str).collect()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
