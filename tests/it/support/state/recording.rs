//! The file operations of the real binary and its requests to the portal, in one order: read from the log of
//! `tests/power_cut/recorder.c`, which is compiled here and loaded into the process.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::relay::{code, command, output_of, stderr};

/// The compiled recorder.
pub(crate) struct Recorder {
    folder: TempDir,
}

impl Recorder {
    /// Compiles it; returns the reason where recording is impossible.
    pub(crate) fn build() -> Result<Self, String> {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) || cfg!(target_feature = "crt-static") {
            return Err("LD_PRELOAD needs Linux and a dynamically linked glibc".into());
        }
        let recorder = Self { folder: TempDir::new().unwrap() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_cut/recorder.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-o"]).arg(recorder.library());
        match compiler.arg(source).args(["-ldl", "-lpthread"]).output() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err("there is no `cc`".into()),
            compiled => {
                let compiled = compiled.unwrap();
                assert!(compiled.status.success(), "{}", stderr(&compiled));
            }
        }
        let mut version = command();
        recorder.load_into(version.arg("--version"), recorder.folder.path());
        assert_eq!(code(&output_of(version)), 0);
        let log = std::fs::read(recorder.log()).unwrap();
        assert!(log.starts_with(b"H "), "the recorder was not loaded");
        std::fs::remove_file(recorder.log()).unwrap();
        Ok(recorder)
    }

    /// Loads the recorder into `command`, which appends all operations below `folder` to the record.
    pub(crate) fn load_into(&self, command: &mut Command, folder: &Path) {
        command.env("LD_PRELOAD", self.library()).env("POWER_CUT_LOG", self.log());
        command.env("POWER_CUT_FOLDER", folder.canonicalize().unwrap());
    }

    /// Makes the process die by SIGKILL before its next recorded operation.
    pub(crate) fn order_kill(&self) {
        std::fs::write(self.kill_order(), "").unwrap();
    }

    /// Lets the next process live.
    pub(crate) fn withdraw_kill(&self) {
        std::fs::remove_file(self.kill_order()).unwrap();
    }

    /// The record so far, for use while no process writes it.
    pub(crate) fn read(&self) -> Recording {
        let log = std::fs::read(self.log()).unwrap();
        let mut rest = log.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            records.push(Record::take(&mut rest).unwrap_or_else(|| panic!("no record: {}", rest.len())));
        }
        Recording { polls: polls_in(&records), records }
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("recorder.so")
    }

    fn kill_order(&self) -> PathBuf {
        self.folder.path().join("log.kill")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

/// The whole record, in order.
pub(crate) struct Recording {
    pub records: Vec<Record>,
    pub polls: Vec<Poll>,
}

/// A request that lets the portal delete all events of `user` below `offset`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll {
    /// The disk was in the state before the record of this index when the first byte was sent.
    pub at: usize,
    pub user: u64,
    pub offset: u64,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub thread: u64,
    pub deed: Deed,
}

/// The kinds of operations. Files are named by their inode.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Started,
    Created { inode: u64, path: PathBuf },
    Wrote { inode: u64, at: usize, bytes: Vec<u8> },
    Resized { inode: u64, size: usize },
    Renamed { from: PathBuf, to: PathBuf },
    Linked { from: PathBuf, to: PathBuf },
    Unlinked { path: PathBuf },
    FolderCreated { path: PathBuf },
    SyncBegan { inode: u64, path: PathBuf },
    SyncEnded { path: PathBuf },
    Sent { socket: u64, bytes: Vec<u8> },
}

impl Recording {
    /// Whether a sync of a file in `folder` ended with the record of this index.
    pub(crate) fn ends_sync_in(&self, folder: &str, at: usize) -> bool {
        let Deed::SyncEnded { path } = &self.records[at].deed else { return false };
        path.parent().is_some_and(|parent| parent.ends_with(folder))
    }
}

impl Record {
    fn take(log: &mut &[u8]) -> Option<Self> {
        let line = log.iter().position(|byte| *byte == b'\n')?;
        let head = std::str::from_utf8(&log[..line]).ok()?;
        *log = &log[line + 1..];
        let fields: Vec<&str> = head.split(' ').collect();
        let [kind, thread, inode, number, one_length, two_length] = fields[..] else { return None };
        let one = log.split_off(..one_length.parse().ok()?)?.to_vec();
        let two = log.split_off(..two_length.parse().ok()?)?;
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let inode = inode.parse().ok()?;
        let deed = match kind {
            "H" => Deed::Started,
            "C" => Deed::Created { inode, path: path(&one) },
            "W" => Deed::Wrote { inode, at: number.parse().ok()?, bytes: one },
            "T" => Deed::Resized { inode, size: number.parse().ok()? },
            "N" => Deed::Renamed { from: path(&one), to: path(two) },
            "K" => Deed::Linked { from: path(&one), to: path(two) },
            "U" => Deed::Unlinked { path: path(&one) },
            "M" => Deed::FolderCreated { path: path(&one) },
            "B" => Deed::SyncBegan { inode, path: path(&one) },
            "E" => Deed::SyncEnded { path: path(&one) },
            "S" => Deed::Sent { socket: inode, bytes: one },
            _ => panic!("done, and not to be replayed: {}", String::from_utf8_lossy(&one)),
        };
        Some(Self { thread: thread.parse().ok()?, deed })
    }
}

/// Every poll with an offset, from the bytes that were sent through the sockets.
fn polls_in(records: &[Record]) -> Vec<Poll> {
    let mut polls = Vec::new();
    // By socket: the bytes of an incomplete request, and the record in which it began.
    let mut begun: HashMap<u64, (usize, Vec<u8>)> = HashMap::new();
    for (at, record) in records.iter().enumerate() {
        let Deed::Sent { socket, bytes } = &record.deed else { continue };
        let (began, sent) = begun.entry(*socket).or_insert_with(|| (at, Vec::new()));
        if sent.is_empty() {
            *began = at;
        }
        sent.extend_from_slice(bytes);
        while let Some((target, body, length)) = request_in(sent) {
            polls.extend(poll_in(target, body).map(|(user, offset)| Poll { at: *began, user, offset }));
            sent.drain(..length);
            *began = at;
        }
        if !sent.is_empty() && !sent[0].is_ascii_uppercase() {
            // These bytes are not HTTP: sockets are also used between threads.
            sent.clear();
        }
    }
    polls
}

/// The target and the body of the request at the beginning of `sent`, and its length, if it is complete.
fn request_in(sent: &[u8]) -> Option<(&str, &[u8], usize)> {
    let head_length = sent.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&sent[..head_length]).ok()?;
    let mut lines = head.lines();
    let target = lines.next()?.split(' ').nth(1)?;
    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
    let end = head_length + length.map_or(0, |length| length.parse().unwrap());
    Some((target, sent.get(head_length..end)?, end))
}

/// The user and the offset of a poll by webhook, `/rest/USER/CODE/im.v2.Event.get`.
fn poll_in(target: &str, body: &[u8]) -> Option<(u64, u64)> {
    let mut segments = target.trim_start_matches('/').split('/');
    let (rest, user, _code, method) =
        (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
    if rest != "rest" || method != "im.v2.Event.get" {
        return None;
    }
    let body: Value = serde_json::from_slice(body).unwrap();
    Some((user.parse().unwrap(), body["offset"].as_u64().unwrap_or(0)))
}
