//! The release build of the relay with a file sink, and the end of that file.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::arrivals::Arrivals;

/// How often the file is read, which is also the error of a latency.
const LOOK: Duration = Duration::from_millis(2);

/// A running relay in its own folder. Dropping it kills the process.
pub(crate) struct Relay {
    process: Child,
    folder: TempDir,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Relay {
    /// Starts `b24relay run` with `sources` as lines of its configuration and defaults for everything else.
    pub(crate) fn start(sources: &str) -> Self {
        // On the disk of the build: on a memory disk `fdatasync` would cost nothing.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let sink = "[sinks.bench]\ntype = \"file\"\npath = \"events.jsonl\"\n";
        let config = format!("state = \"b24relay.db\"\n{sources}\n{sink}");
        fs::write(folder.path().join("b24relay.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_b24relay"));
        command.env_clear().arg("run").current_dir(folder.path()).stdin(Stdio::null());
        command.stderr(File::create(folder.path().join("log")).unwrap());
        Self { process: command.spawn().unwrap(), folder }
    }

    /// Passes on delivered events as soon as they are in the file. Never returns.
    pub(crate) async fn watch(&self, mut note: impl FnMut(&str)) -> Infallible {
        let path = self.folder.path().join("events.jsonl");
        let mut end = Vec::new();
        let mut file = None;
        loop {
            if file.is_none() {
                file = File::open(&path).ok();
            }
            if let Some(file) = &mut file
                && file.read_to_end(&mut end).unwrap() > 0
                && let Some(whole) = end.iter().rposition(|byte| *byte == b'\n')
            {
                // The text after the last line feed is an incomplete line.
                let half = end.split_off(whole + 1);
                note(std::str::from_utf8(&end).unwrap());
                end = half;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Like [`Relay::watch`], for all its sources together.
    pub(crate) async fn watch_all(&self, arrivals: &RefCell<Arrivals>) -> Infallible {
        self.watch(|text| arrivals.borrow_mut().note(text)).await
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(Path::new(self.folder.path()).join("log")).unwrap()
    }
}
