//! The real binary as a process of one test; killed at the end of the test.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::process::waiting::{PATIENCE, until};

/// The binary with an empty environment: it gets only the variables that a test sets.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_b24relay"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn output(args: &[&str], folder: &Path) -> Output {
    let mut command = command();
    command.args(args).current_dir(folder);
    output_of(command)
}

/// Runs a prepared command to its end, and kills it after a time limit.
pub(crate) fn output_of(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = Pid::from_child(&child);
    let (over, is_over) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if is_over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            kill_process(id, Signal::KILL).ok();
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(over);
    watchdog.join().unwrap();
    output
}

/// Like [`output`], while the servers of this test continue to answer.
pub(crate) async fn finished(args: &[&str], folder: &Path) -> Output {
    let mut command = command();
    command.args(args).current_dir(folder);
    finished_command(command).await
}

/// Like [`output_of`], while the servers of this test continue to answer.
pub(crate) async fn finished_command(command: Command) -> Output {
    tokio::task::spawn_blocking(move || output_of(command)).await.unwrap()
}

/// The exit code of a finished command.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed by {:?}", output.status.signal()))
}

/// The stderr of a finished command.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The stdout of a finished command.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The length of the file at `path` in bytes, or 0 without a file.
fn length(path: &Path) -> usize {
    std::fs::metadata(path).map_or(0, |file| usize::try_from(file.len()).unwrap())
}

/// `b24relay run` in the background; its output goes to files that remain after it.
pub(crate) struct Relay {
    child: Child,
    stderr: PathBuf,
    /// The length of the log that earlier runs in its folder have written, in bytes.
    written_before: usize,
}

impl Relay {
    /// Starts `b24relay run` in `folder` with the further arguments `args`, writing to `out` and `err` there.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        let stdout = append(&folder.join("out"));
        Self::start_with(folder, args, stdout.into())
    }

    pub(crate) fn start_with(folder: &Path, args: &[&str], stdout: Stdio) -> Self {
        let mut command = command();
        command.arg("run").args(args).current_dir(folder);
        Self::start_command(command, folder, stdout)
    }

    /// Starts a prepared command whose log goes to `stderr`, which [`Relay::log`] cannot read.
    pub(crate) fn start_logging_to(mut command: Command, folder: &Path, stderr: Stdio) -> Self {
        let child = command.stderr(stderr).spawn().unwrap();
        Self { child, stderr: folder.join("err"), written_before: 0 }
    }

    /// Starts a prepared command, writing to `err` in `folder`.
    pub(crate) fn start_command(mut command: Command, folder: &Path, stdout: Stdio) -> Self {
        let stderr = folder.join("err");
        let written_before = length(&stderr);
        let child = command.stdout(stdout).stderr(append(&stderr)).spawn().unwrap();
        Self { child, stderr, written_before }
    }

    /// The same, with standard input connected to the test.
    pub(crate) fn start_piped(mut command: Command, folder: &Path, stdout: Stdio) -> (Self, ChildStdin) {
        let stderr = folder.join("err");
        let written_before = length(&stderr);
        let mut child = command.stdin(Stdio::piped()).stdout(stdout).stderr(append(&stderr)).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        (Self { child, stderr, written_before }, stdin)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The stderr of all runs in this folder.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until this run has logged `text`. The log of an earlier run in the folder does not count, because this run
    /// may not handle signals yet.
    pub(crate) async fn until_logged(&self, text: &str) {
        let is_logged = async || {
            let log = self.log();
            log.get(self.written_before..).unwrap_or(&log).contains(text)
        };
        until(&format!("`{text}` in the log:\n{}", self.log()), is_logged).await;
    }

    /// Waits for the process to exit.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    pub(crate) async fn exit_code(&mut self) -> i32 {
        let status = self.ended().await;
        status.code().unwrap_or_else(|| panic!("killed by {:?}", status.signal()))
    }

    /// Sends a stop signal and waits for the exit.
    pub(crate) async fn stop(&mut self) -> i32 {
        self.signal(Signal::TERM);
        self.exit_code().await
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have exited already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}
