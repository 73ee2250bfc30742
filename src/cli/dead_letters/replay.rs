//! `b24relay dead-letters replay`: delivers what was rejected again.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};

use clap::Args;

use super::counted;
use super::filter::FilterArgs;
use crate::cli::GlobalArgs;
use crate::cli::exit::SetupError;
use crate::cli::exit_code::Exit;
use crate::cli::output::{print, remark};
use crate::config::{Config, SinkConfig, TargetConfig};
use crate::relay::{Replay, Replayed};
use crate::service::Troubles;
use crate::shutdown::Signals;
use crate::stdio::stderr;
use crate::store::{Letter, Store};
use crate::telemetry;

const EXAMPLES: &str = "\
Sends the oldest first, one at a time, through the configured sink of that name, with the `id` that the event has \
always had. What the sink takes is no dead letter any more; what it rejects again stays one, with the new \
reason. A sink that fails otherwise is left alone after some attempts, with all that is left for it.

Exit codes: 0 all delivered, 75 some are left or another replay is at work, 78 a sink is no longer configured.

Examples:
  b24relay dead-letters replay
  b24relay dead-letters replay 17 18
  b24relay dead-letters replay --sink crm --since 2h --reason 422";

/// How many letters go by between two lines, where nobody watches a terminal.
const LINE_LETTERS: usize = 100;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    #[command(flatten)]
    filter: FilterArgs,
}

/// Replays until all is sent, a sink fails, or a stop is asked for.
pub async fn run(args: &ReplayArgs, global: &GlobalArgs, signals: &Signals) -> anyhow::Result<Exit> {
    let config = global.load()?;
    telemetry::init(global.log(config.log.level), &Troubles::default());
    let (state, filter) = (&config.state, args.filter.filter());
    // Looked at first: where there is nothing, nothing is created.
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
    // Standard output may be where the events went.
    if has_stdout {
        remark(&progress.summary());
    } else {
        print(&progress.summary())?;
    }
    Ok(if progress.left() == 0 { Exit::Clean } else { Exit::Temporary })
}

/// The sinks that `letters` are for. That of the first missing one is told before anything is sent.
fn sinks<'a>(config: &'a Config, letters: &[Letter]) -> Result<Vec<&'a SinkConfig>, SetupError> {
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

/// What has become of the letters so far, for whoever watches.
struct Progress {
    total: usize,
    delivered: usize,
    rejected: usize,
    gone: usize,
    is_terminal: bool,
    /// How long the line is that stands on the terminal.
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

    fn take(&mut self, letter: &Letter, replayed: Replayed) {
        let Letter { number, sink, .. } = letter;
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

    /// A line that updates on a terminal, elsewhere one now and then.
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

    /// Leaves the line that updates.
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
