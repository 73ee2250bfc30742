//! Asking before something is destroyed.

use std::io::{self, IsTerminal as _};

use clap::Args;

use super::exit::UsageError;
use super::output::{print, remark};
use crate::shutdown::Signals;
use crate::stdio::stderr;

const NOBODY: &str =
    "there is no terminal to ask on: give --yes to go ahead, or --dry-run to see what would go";

#[derive(Debug, Args)]
pub struct ConsentArgs {
    /// Do not ask first
    #[arg(long)]
    yes: bool,
    /// Show what would go, remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl ConsentArgs {
    /// Whether nothing is to be changed.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Whether any of the flags is given.
    pub fn is_given_at_all(&self) -> bool {
        self.yes || self.dry_run
    }

    /// Refuses a run that would have to ask where nobody can answer, before anything else is done.
    pub fn require_somebody(&self) -> Result<(), UsageError> {
        if self.can_be_asked() { Ok(()) } else { Err(UsageError(NOBODY.to_owned())) }
    }

    /// The same where it is known `what` would go.
    pub fn require_somebody_for(&self, what: &str) -> Result<(), UsageError> {
        if self.can_be_asked() { Ok(()) } else { Err(UsageError(format!("{what}: {NOBODY}"))) }
    }

    fn can_be_asked(&self) -> bool {
        self.yes || self.dry_run || io::stdin().is_terminal()
    }

    /// Whether to go ahead with what `question` asks. When not, that is said.
    pub async fn is_given(&self, question: &str, signals: &Signals) -> io::Result<bool> {
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

/// Asks on the terminal. Silence, a stop, and anything but a yes is a no.
async fn asked(question: &str, signals: &Signals) -> io::Result<bool> {
    stderr::write(&format!("{question} [y/N] "));
    // A reader that waits for ever keeps nobody: the runtime does not wait for it.
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
