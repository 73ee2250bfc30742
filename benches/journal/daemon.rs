//! The relay as a daemon, watched from outside: by its state file, by its log, and in `/proc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::measure::{Usage, cpu_of, peak_of};
use crate::processes::{Background, relay_with};

/// How often something is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(5);

/// Nothing here takes longer on any machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running relay. It is killed when it is dropped.
pub struct Daemon {
    process: Background,
    started: Instant,
    folder: PathBuf,
}

impl Daemon {
    /// `b24relay run` in `folder`, with `lines` about its source and these `sections` of the configuration. The portal may
    /// let go of what is in the journal.
    pub fn start(folder: &Path, webhook_url: &str, lines: &str, sections: &str) -> Self {
        let sections = format!("[delivery]\nhold = \"0s\"\n{sections}");
        let mut command = relay_with(folder, webhook_url, lines, &sections);
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        Self { process: Background(child), started, folder: folder.to_owned() }
    }

    /// What it has taken since its start.
    pub fn usage(&self) -> Usage {
        let id = self.process.0.id();
        Usage { elapsed: self.started.elapsed(), cpu_s: cpu_of(id), peak_mib: peak_of(id).unwrap() }
    }

    /// How many events `sink` has got, by the state file.
    pub fn delivered(&self, sink: &str) -> u32 {
        self.look(&format!("SELECT ifnull(sum(delivered), 0) FROM lane WHERE sink = '{sink}'"))
    }

    /// How many events `sink` has rejected for good.
    pub fn buried(&self, sink: &str) -> u32 {
        self.look(&format!("SELECT count(*) FROM dead_letter WHERE sink = '{sink}'"))
    }

    /// Whether nothing is left in the journal.
    pub fn is_journal_empty(&self) -> bool {
        self.look("SELECT count(*) FROM (SELECT 1 FROM batch LIMIT 1)") == 0
    }

    /// What the journal takes.
    pub fn journal_mib(&self) -> f64 {
        f64::from(self.look("SELECT sum(journal_bytes) / 1024 FROM source")) / 1024.0
    }

    fn look(&self, sql: &str) -> u32 {
        let state = Connection::open_with_flags(self.state(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        state.busy_timeout(PATIENCE).unwrap();
        state.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Its state file.
    pub fn state(&self) -> PathBuf {
        self.folder.join("b24relay.db")
    }

    /// Whether its log holds `words`.
    pub fn has_said(&self, words: &str) -> bool {
        fs::read_to_string(self.folder.join("log")).unwrap().contains(words)
    }

    /// Another command with its configuration, which says nothing to anybody.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_b24relay"));
        command.env_clear().args(args).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.process.0), Signal::TERM).unwrap();
        assert!(self.process.0.wait().unwrap().success());
    }
}

/// Waits for `is_so`, but not for ever.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(LOOK);
    }
}
