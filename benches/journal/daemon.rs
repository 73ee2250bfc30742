//! The relay as a daemon in journal mode, watched from outside: by its state file, and in `/proc`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};

use crate::measure::{Usage, cpu_of, peak_of};
use crate::processes::{Background, relay_with};

/// How often something is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(5);

/// Nothing here takes longer on any machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running relay. It is killed when it is dropped.
pub struct Daemon {
    process: Background,
    started: Instant,
    state: PathBuf,
}

impl Daemon {
    /// `b24relay run` in `folder` in journal mode, with `lines` about its source and the sections of `sinks`.
    pub fn start(folder: &Path, webhook_url: &str, lines: &str, sinks: &str) -> Self {
        let sections = format!("[delivery]\nmode = \"journal\"\n{sinks}");
        let mut command = relay_with(folder, webhook_url, lines, &sections);
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        Self { process: Background(child), started, state: folder.join("b24relay.db") }
    }

    /// What it has taken since its start.
    pub fn usage(&self) -> Usage {
        let id = self.process.0.id();
        Usage { elapsed: self.started.elapsed(), cpu_s: cpu_of(id), peak_mib: peak_of(id).unwrap() }
    }

    /// How many events the sink `bench` has got, by the state file.
    pub fn delivered(&self) -> u32 {
        self.look("SELECT delivered FROM checkpoint WHERE sink = 'bench'")
    }

    /// Whether nothing is left in the journal.
    pub fn is_journal_empty(&self) -> bool {
        self.look("SELECT count(*) FROM (SELECT 1 FROM journal LIMIT 1)") == 0
    }

    fn look(&self, sql: &str) -> u32 {
        let state = Connection::open_with_flags(&self.state, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        state.query_row(sql, [], |row| row.get(0)).unwrap()
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
