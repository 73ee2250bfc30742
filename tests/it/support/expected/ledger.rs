//! Compares the events that arrived with the events that the portal recorded.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// The event ids of a file of JSON lines, in order. Every line must be complete. The last one may be incomplete if
/// `may_be_torn` says that the writer was killed.
pub(crate) fn ids_in(path: &Path, may_be_torn: bool) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n') || !may_be_torn)
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
            event["eventId"].as_u64().unwrap()
        })
        .collect()
}

/// Asserts that `arrived` is `recorded`: each once, in order.
pub(crate) fn assert_exactly_once(arrived: &[u64], recorded: &[u64]) {
    assert_complete(arrived, recorded);
    assert_eq!(arrived.len(), recorded.len(), "some arrived twice");
    assert!(arrived.is_sorted(), "out of order");
}

/// Asserts that `arrived` is `recorded`, each once, in any order.
pub(crate) fn assert_once_each(arrived: &[u64], recorded: &[u64]) {
    assert_complete(arrived, recorded);
    assert_eq!(arrived.len(), recorded.len(), "some arrived twice");
}

/// Asserts that nothing is missing, nothing was invented, and everything arrived in order, except for at most
/// `restarts` steps back that each repeat at most `repeats_max` events.
pub(crate) fn assert_at_least_once(arrived: &[u64], recorded: &[u64], restarts: usize, repeats_max: usize) {
    assert_complete(arrived, recorded);
    let (mut highest, mut previous, mut steps_back, mut repeats) = (0, 0, 0, 0);
    for &id in arrived {
        if id <= previous {
            (steps_back, repeats) = (steps_back + 1, 0);
        }
        repeats += usize::from(id <= highest);
        assert!(repeats <= repeats_max, "{repeats} events repeated after one restart, {repeats_max} allowed");
        (highest, previous) = (highest.max(id), id);
    }
    assert!(steps_back <= restarts, "{steps_back} steps back in {restarts} restarts");
}

/// Asserts that nothing is missing and nothing was invented.
pub(crate) fn assert_complete(arrived: &[u64], recorded: &[u64]) {
    let (arrived, recorded): (BTreeSet<_>, BTreeSet<_>) =
        (arrived.iter().collect(), recorded.iter().collect());
    let missing: Vec<_> = recorded.difference(&arrived).collect();
    let invented: Vec<_> = arrived.difference(&recorded).collect();
    assert!(missing.is_empty(), "{} missing, first {:?}", missing.len(), missing.first());
    assert!(invented.is_empty(), "{} invented, first {:?}", invented.len(), invented.first());
}
