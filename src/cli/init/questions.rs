//! Questions on the terminal. A secret is not shown while it is typed or pasted.

use std::io::{self, IsTerminal as _};

use rustix::termios::LocalModes;

use crate::cli::output::input_mode::InputMode;
use crate::shutdown::Signals;
use crate::stdio::stderr;

/// The longest accepted answer, in bytes: longer than any URL that a portal shows.
const ANSWER_MAX: usize = 4096;

/// There is no answer: a stop signal, or the end of the input.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub(super) struct Stopped;

/// How answers are obtained.
pub(super) struct Questions<'a> {
    takes_defaults: bool,
    signals: &'a Signals,
}

impl<'a> Questions<'a> {
    /// With `takes_defaults`, a question that has a default is not asked.
    pub(super) fn new(takes_defaults: bool, signals: &'a Signals) -> Self {
        Self { takes_defaults, signals }
    }

    /// Whether questions that have a default are not asked.
    pub(super) fn takes_defaults(&self) -> bool {
        self.takes_defaults
    }

    /// Whether standard input is a terminal.
    pub(super) fn can_be_asked() -> bool {
        io::stdin().is_terminal()
    }

    /// Asks for a secret, which is not shown.
    pub(super) async fn secret(&self, question: &str) -> anyhow::Result<String> {
        // Before the question, so that nothing that is typed after it can be seen.
        let hidden = InputMode::without(LocalModes::ECHO)?;
        let answer = self.answer(&format!("{question} (not shown): ")).await;
        drop(hidden);
        stderr::write("\n");
        answer
    }

    /// Asks, and takes `default` for an empty answer.
    pub(super) async fn text(&self, question: &str, default: &str) -> anyhow::Result<String> {
        if self.takes_defaults {
            return Ok(default.to_owned());
        }
        let answer = self.answer(&format!("{question} [{default}]: ")).await?;
        Ok(if answer.is_empty() { default.to_owned() } else { answer })
    }

    /// Asks for a yes; an empty answer is one.
    pub(super) async fn agree(&self, question: &str) -> anyhow::Result<bool> {
        if self.takes_defaults {
            return Ok(true);
        }
        let answer = self.answer(&format!("{question} [Y/n] ")).await?;
        Ok(matches!(answer.to_lowercase().as_str(), "" | "y" | "yes"))
    }

    /// Waits for Enter.
    pub(super) async fn wait(&self, question: &str) -> anyhow::Result<()> {
        self.answer(question).await.map(drop)
    }

    async fn answer(&self, prompt: &str) -> anyhow::Result<String> {
        stderr::write(prompt);
        // A thread that is blocked in this read does not delay the exit: the runtime does not wait for it.
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = tokio::select! {
            biased;
            () = self.signals.stop.cancelled() => return Err(Stopped.into()),
            line = read => line??,
        };
        if line.is_empty() || line.len() > ANSWER_MAX {
            return Err(Stopped.into());
        }
        Ok(line.trim().to_owned())
    }
}
