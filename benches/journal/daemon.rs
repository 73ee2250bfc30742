//! The relay as a daemon, observed from outside: its state file, its log, and `/proc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::measure::{Usage, cpu_of, peak_of};
use crate::processes::{Background, relay_with};

/// How often an awaited condition is checked.
const LOOK: Duration = Duration::from_millis(5);

/// The longest wait for a condition; nothing here takes longer on any machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running relay. It is killed when it is dropped.
pub(crate) struct Daemon {
    process: Background,
    started: Instant,
    folder: PathBuf,
}

impl Daemon {
    /// Starts `b24relay run` in `folder`, with `lines` about its source and these `sections` of the configuration. The
    /// portal may delete events that are in the journal.
    pub(crate) fn start(folder: &Path, webhook_url: &str, lines: &str, sections: &str) -> Self {
        let sections = format!("[delivery]\nhold = \"0s\"\n{sections}");
        let mut command = relay_with(folder, webhook_url, lines, &sections);
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        Self { process: Background(child), started, folder: folder.to_owned() }
    }

    /// The resources that it has used since its start.
    pub(crate) fn usage(&self) -> Usage {
        let id = self.process.0.id();
        Usage { elapsed: self.started.elapsed(), cpu_s: cpu_of(id), peak_mib: peak_of(id).unwrap() }
    }

    /// How many events `sink` has received, according to the state file.
    pub(crate) fn delivered(&self, sink: &str) -> u32 {
        self.look(&format!("SELECT ifnull(sum(delivered), 0) FROM lane WHERE sink = '{sink}'"))
    }

    /// How many events `sink` has rejected for good.
    pub(crate) fn buried(&self, sink: &str) -> u32 {
        self.look(&format!("SELECT count(*) FROM dead_letter WHERE sink = '{sink}'"))
    }

    /// Whether the journal is empty.
    pub(crate) fn is_journal_empty(&self) -> bool {
        self.look("SELECT count(*) FROM (SELECT 1 FROM batch LIMIT 1)") == 0
    }

    /// The size of the journal.
    pub(crate) fn journal_mib(&self) -> f64 {
        f64::from(self.look("SELECT sum(journal_bytes) / 1024 FROM source")) / 1024.0
    }

    fn look(&self, sql: &str) -> u32 {
        let state = Connection::open_with_flags(self.state(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        state.busy_timeout(PATIENCE).unwrap();
        state.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// The path of its state file.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("b24relay.db")
    }

    /// Whether its log contains `words`.
    pub(crate) fn has_said(&self, words: &str) -> bool {
        fs::read_to_string(self.folder.join("log")).unwrap().contains(words)
    }

    /// Another command with the same configuration and without output.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_b24relay"));
        command.env_clear().args(args).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Stops it with a signal, as an operator does.
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.process.0), Signal::TERM).unwrap();
        assert!(self.process.0.wait().unwrap().success());
    }
}

/// Waits for `is_so`, with a time limit.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(LOOK);
    }
}
