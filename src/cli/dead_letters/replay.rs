//! `b24relay dead-letters replay`: delivers rejected events again.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};

use clap::Args;

use super::counted;
use super::filter::FilterArgs;
use crate::cli::GlobalArgs;
use crate::cli::exit::SetupError;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::{print, remark};
use crate::config::{Config, SinkConfig, TargetConfig};
use crate::relay::{Replay, Replayed};
use crate::service::RecentProblems;
use crate::shutdown::Signals;
use crate::stdio::stderr;
use crate::store::{DeadLetter, Store};
use crate::telemetry;

const EXAMPLES: &str = "\
Sends the oldest first, one at a time, through the configured sink of that name. The event keeps its `id`. \
A delivered event is removed from the dead letters; a rejected event stays one, with the new reason. \
If a sink fails in another way, its remaining letters are skipped after some attempts.

Exit codes: 0 all delivered, 75 some remain or another replay is running, 78 a sink is no longer configured.

Examples:
  b24relay dead-letters replay
  b24relay dead-letters replay 17 18
  b24relay dead-letters replay --sink crm --since 2h --reason 422";

/// How many letters are sent between two progress lines when the output is not a terminal.
const LINE_LETTERS: usize = 100;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    filter: FilterArgs,
}

/// Replays until all letters are sent, a sink fails, or a stop is requested.
pub(super) async fn run(args: &ReplayArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    let config = global.load()?;
    telemetry::init(global.log(config.log.level), &RecentProblems::default());
    let (state, filter) = (&config.state, args.filter.filter());
    // Look first: when there is nothing to replay, create no file.
    if Store::letters_at(state, &filter)?.is_empty() {
        print("no dead letters to replay")?;
        return Ok(Exit::Clean);
    }
    let lock = Store::lock_letters(state)?;
    let letters = Store::letters_at(state, &filter)?;
    let sinks = sinks(&config, &letters)?;
    let has_stdout = sinks.iter().any(|sink| matches!(sink.target, TargetConfig::Stdout(_)));
    let mut replay = Replay::try_new(sinks, Store::open_beside(state)?, lock, signals)?;
    let mut progress = Progress::new(letters.len());
    for letter in &letters {
        let Some(replayed) = replay.send(letter).await.inspect_err(|_| progress.end())? else { break };
        progress.take(letter, replayed);
    }
    progress.end();
    // Standard output may contain the delivered events.
    if has_stdout {
        remark(&progress.summary());
    } else {
        print(&progress.summary())?;
    }
    Ok(if progress.left() == 0 { Exit::Clean } else { Exit::Temporary })
}

/// The sinks of `letters`. A sink that is not configured is reported before anything is sent.
fn sinks<'a>(config: &'a Config, letters: &[DeadLetter]) -> Result<Vec<&'a SinkConfig>, SetupError> {
    let names: BTreeSet<&str> = letters.iter().map(|letter| letter.sink.as_str()).collect();
    let find = |name: &str| {
        config.sinks.iter().find(|sink| sink.name == name).ok_or_else(|| {
            SetupError(format!(
                "the sink `{name}` is no longer configured, nothing was sent: put it back, choose another with \
                 `--sink`, or `b24relay dead-letters discard --sink {name}` lets go of what it has rejected"
            ))
        })
    };
    names.into_iter().map(find).collect()
}

/// The progress of the replay, shown to the operator.
struct Progress {
    total: usize,
    delivered: usize,
    rejected: usize,
    gone: usize,
    is_terminal: bool,
    /// The length of the progress line on the terminal.
    shown: usize,
}

impl Progress {
    fn new(total: usize) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { total, delivered: 0, rejected: 0, gone: 0, is_terminal, shown: 0 }
    }

    fn left(&self) -> usize {
        self.total - self.delivered - self.gone
    }

    fn take(&mut self, letter: &DeadLetter, replayed: Replayed) {
        let DeadLetter { number, sink, .. } = letter;
        match replayed {
            Replayed::Delivered => self.delivered += 1,
            Replayed::Gone => self.gone += 1,
            Replayed::Left => return,
            Replayed::Rejected(reason) => {
                self.rejected += 1;
                self.tell(&format!("dead letter {number} is rejected again and stays: {reason}"));
            }
            Replayed::Failed(reason) => {
                self.tell(&format!(
                    "stopped at dead letter {number}, all that is left of `{sink}` stays: {reason}"
                ));
            }
        }
        self.show();
    }

    /// Updates one line on a terminal; elsewhere prints a line at intervals.
    fn show(&mut self) {
        let line = format!("{} of {} delivered", self.delivered, self.total);
        if self.is_terminal {
            let width = self.shown.max(line.len());
            self.shown = line.len();
            stderr::write(&format!("\r{line:width$}"));
        } else if self.delivered > 0 && self.delivered.is_multiple_of(LINE_LETTERS) {
            remark(&line);
        }
    }

    fn tell(&mut self, text: &str) {
        self.end();
        remark(text);
    }

    /// Ends the progress line.
    fn end(&mut self) {
        if self.shown > 0 {
            remark("");
        }
        self.shown = 0;
    }

    fn summary(&self) -> String {
        let mut parts = vec![format!("{} delivered", counted(self.delivered))];
        if self.rejected > 0 {
            parts.push(format!("{} rejected again", self.rejected));
        }
        if self.left() > 0 {
            parts.push(format!("{} left", self.left()));
        }
        parts.join(", ")
    }
}
