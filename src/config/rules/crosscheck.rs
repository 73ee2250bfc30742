//! Rules that involve several keys: names must exist, and files must not be shared.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::TargetConfig;
use crate::config::parse::findings::Findings;
use crate::config::parse::quote;
use crate::config::rules::logins;
use crate::config::rules::queues;
use crate::config::section::sinks::sink::RawSink;
use crate::config::section::sources::portals::{self, RawPortal};
use crate::config::section::sources::source::RawSource;
use crate::symlinks;

/// Reports every violation that involves sources, sinks, portals and the state file together.
pub(crate) fn check(
    state: &Path,
    sources: &[RawSource],
    sinks: &[RawSink],
    portals: &[RawPortal],
    findings: &Findings,
) {
    logins::check(sources, findings);
    queues::check(sources, findings);
    portals::check(portals, sources, findings);
    refuse_unknown_sources(sources, sinks, findings);
    refuse_idle_sources(sources, sinks, findings);
    refuse_shared_stdout(sinks, findings);
    refuse_shared_files(state, sinks, findings);
}

fn refuse_unknown_sources(sources: &[RawSource], sinks: &[RawSink], findings: &Findings) {
    for sink in sinks {
        for name in sink.sources.iter().flatten() {
            if sources.iter().all(|source| source.name != *name) {
                findings.report(
                    format!("sinks.{}.sources", quote::key(&sink.name)),
                    format!("there is no source {}: add it, or correct the name", quote::text(name)),
                );
            }
        }
    }
}

/// Refuses a source without a sink: its events would have nowhere to go.
fn refuse_idle_sources(sources: &[RawSource], sinks: &[RawSink], findings: &Findings) {
    for source in sources {
        if !sinks.is_empty() && !sinks.iter().any(|sink| sink.takes_source(&source.name)) {
            findings.report(
                format!("sources.{}", quote::key(&source.name)),
                "no sink takes its events: add it to the `sources` of a sink, or remove it",
            );
        }
    }
}

fn refuse_shared_stdout(sinks: &[RawSink], findings: &Findings) {
    let mut on_stdout = sinks.iter().filter(|sink| matches!(sink.target, Some(TargetConfig::Stdout(_))));
    let Some(owner) = on_stdout.next() else { return };
    for sink in on_stdout {
        findings.report(
            format!("sinks.{}.type", quote::key(&sink.name)),
            format!(
                "there is one stdout, and `sinks.{}` has it: remove one of them",
                quote::key(&owner.name)
            ),
        );
    }
}

fn refuse_shared_files(state: &Path, sinks: &[RawSink], findings: &Findings) {
    let mut owners: BTreeMap<PathBuf, String> =
        state_files(state).into_iter().map(|file| (whereabouts(&file), "`state`".to_owned())).collect();
    // A hard link gives one file two paths.
    let mut inodes: BTreeMap<(u64, u64), String> =
        owners.iter().filter_map(|(file, owner)| Some((inode(file)?, owner.clone()))).collect();
    for sink in sinks {
        let Some(TargetConfig::File(file)) = &sink.target else { continue };
        let place = whereabouts(&file.path);
        let name = quote::key(&sink.name);
        let inode = inode(&place);
        if let Some(owner) = owners.get(&place).or_else(|| inodes.get(&inode?)) {
            let text = format!("this file belongs to {owner} already: give each its own");
            findings.report(format!("sinks.{name}.path"), text);
        } else if let Some((_, owner)) = owners.iter().find(|(other, _)| are_easily_confused(other, &place)) {
            let text = format!(
                "looks like a file that {owner} has put aside, or the other way round: choose another name"
            );
            findings.report(format!("sinks.{name}.path"), text);
        } else {
            inodes.extend(inode.map(|inode| (inode, format!("`sinks.{name}`"))));
            owners.insert(place, format!("`sinks.{name}`"));
        }
    }
}

/// True if one path looks like a rotated file of the other, such as `events.jsonl.1` or
/// `events.jsonl-20261121`.
fn are_easily_confused(one: &Path, other: &Path) -> bool {
    let [one, other] = [one, other].map(|path| path.as_os_str().as_encoded_bytes());
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    matches!(long.strip_prefix(short), Some([b'.' | b'-', b'0'..=b'9', ..]))
}

/// The state file and the files that SQLite and the lock keep beside it.
fn state_files(state: &Path) -> Vec<PathBuf> {
    ["", "-wal", "-shm", "-journal", ".lock", ".letters.lock"]
        .iter()
        .map(|suffix| {
            let mut file = OsString::from(state);
            file.push(suffix);
            PathBuf::from(file)
        })
        .collect()
}

/// Device and inode of the file at `path`, if it exists.
fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Resolves a path so that all paths to the same file compare equal, even if the file does not exist yet.
fn whereabouts(path: &Path) -> PathBuf {
    symlinks::resolve(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_called_like_what_others_put_aside_are_easily_confused() {
        let are_confused = |one: &str, other: &str| {
            let (one, other) = (Path::new(one), Path::new(other));
            let found = are_easily_confused(one, other);
            assert_eq!(found, are_easily_confused(other, one), "whichever comes first");
            found
        };
        for aside in ["/a/x.jsonl.1", "/a/x.jsonl.1.gz", "/a/x.jsonl-20261121", "/a/x.jsonl.20261121T000000"]
        {
            assert!(are_confused("/a/x.jsonl", aside), "{aside}");
        }
        for other in
            ["/a/x.jsonl.old", "/a/x.jsonl-", "/a/x.jsonl.", "/a/x.jsonl1", "/b/x.jsonl.1", "/a/y.jsonl"]
        {
            assert!(!are_confused("/a/x.jsonl", other), "{other}");
        }
    }
}
