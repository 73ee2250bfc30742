//! The relay of a demo: this executable in a separate process.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::config::LogLevel;

/// This executable, even if another version has taken its place since.
const EXECUTABLE: &str = "/proc/self/exe";

/// The number of unexpected exits that end the demo.
const FAILURES_MAX: u32 = 5;

/// The process, which never outlives this value.
pub(super) struct RelayProcess {
    config: PathBuf,
    level: LogLevel,
    child: Option<Child>,
    failures: u32,
}

impl RelayProcess {
    /// A relay with the configuration `config`, which does not run yet.
    pub(super) fn new(config: PathBuf, level: LogLevel) -> Self {
        Self { config, level, child: None, failures: 0 }
    }

    /// Starts it, and returns its process id.
    pub(super) fn start(&mut self) -> anyhow::Result<u32> {
        let mut command = Command::new(EXECUTABLE);
        command.args(["run", "--log-level", &self.level.to_string()]);
        command.args(["--with-parent", &std::process::id().to_string(), "--config"]).arg(&self.config);
        // Variables for another relay are not meant, and Ctrl-C in the terminal is for the demo.
        let child = command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = self.child.insert(child.context("start the relay")?);
        Ok(child.id())
    }

    /// kill -9. Returns the process id, unless it does not run.
    pub(super) fn kill(&mut self) -> io::Result<Option<u32>> {
        let Some(mut child) = self.child.take() else { return Ok(None) };
        child.kill()?;
        child.wait()?;
        Ok(Some(child.id()))
    }

    /// Restarts it after an unexpected exit, for example because another program has taken the port of its page.
    pub(super) fn look_after(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let Some(status) = child.try_wait()? else { return Ok(()) };
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            bail!("the relay ended by itself, {} times: the last time with {status}", self.failures);
        }
        self.start().map(drop)
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // It may have ended already.
        self.kill().ok();
    }
}
