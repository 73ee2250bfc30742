//! Asks the operator before a command destroys something.

use std::io::{self, IsTerminal as _};

use clap::Args;

use crate::cli::exit::UsageError;
use crate::cli::output::print::{print, remark};
use crate::shutdown::Signals;
use crate::stdio::stderr;

const NOBODY: &str =
    "there is no terminal to ask on: give --yes to go ahead, or --dry-run to see what would go";

#[derive(Debug, Args)]
pub(in crate::cli) struct ConsentArgs {
    /// Do not ask first
    #[arg(long)]
    yes: bool,
    /// Show what would be removed, but remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl ConsentArgs {
    /// Whether this is a dry run.
    pub(in crate::cli) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Whether either flag is given.
    pub(in crate::cli) fn is_given_at_all(&self) -> bool {
        self.yes || self.dry_run
    }

    /// Refuses, before anything else happens, a run that would have to ask but has no terminal.
    pub(in crate::cli) fn require_somebody(&self) -> Result<(), UsageError> {
        if self.can_be_asked() { Ok(()) } else { Err(UsageError(NOBODY.to_owned())) }
    }

    /// The same check, for a command that already knows that `what` would be removed.
    pub(in crate::cli) fn require_somebody_for(&self, what: &str) -> Result<(), UsageError> {
        if self.can_be_asked() { Ok(()) } else { Err(UsageError(format!("{what}: {NOBODY}"))) }
    }

    fn can_be_asked(&self) -> bool {
        self.yes || self.dry_run || io::stdin().is_terminal()
    }

    /// Asks `question` and returns whether to go on. A refusal is reported.
    pub(in crate::cli) async fn is_given(&self, question: &str, signals: &Signals) -> io::Result<bool> {
        if self.dry_run {
            print("nothing was removed: this was a dry run")?;
            return Ok(false);
        }
        if self.yes || asked(question, signals).await? {
            return Ok(true);
        }
        print("nothing was removed")?;
        Ok(false)
    }
}

/// Asks on the terminal. No answer, a stop signal, and anything but a yes all count as no.
async fn asked(question: &str, signals: &Signals) -> io::Result<bool> {
    stderr::write(&format!("{question} [y/N] "));
    // A thread that is blocked in this read does not delay the exit: the runtime does not wait for it.
    let answered = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    });
    tokio::select! {
        biased;
        () = signals.stop.cancelled() => {
            remark("");
            Ok(false)
        }
        answer = answered => {
            let answer = answer.map_err(io::Error::other)??;
            Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
        }
    }
}
