//! `b24relay tap`: a source's events as they come, without taking them away from anybody.

use std::collections::HashSet;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;

use super::exit::SetupError;
use super::exit_code::Exit;
use super::output::{Reader, remark, write};
use super::peek::{PAGE_MAX, Peek};
use super::source::{callers, find};
use crate::config::{Config, SourceConfig, StdoutFormat};
use crate::event::{Batch, Event, EventId, OddEvents};
use crate::portal::{CallError, Class, Tries};
use crate::relay::Callers;
use crate::retry::Backoff;
use crate::shutdown::{Signals, Wake};
use crate::sink::readable;

/// The least pause against a portal that others use as well, whatever `poll.idle` says.
const PAUSE_MIN: Duration = Duration::from_secs(2);

/// The delays after a refusal: as a source's.
const DELAY_MIN: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);

/// How long to stay away when the portal's operating time is used up and it has not said for how long.
const OPERATING_UNKNOWN: Duration = Duration::from_secs(60);

/// How many doubtful refusals in a row end the following.
const FAILURES_MAX: u32 = 5;

const NOTES: &str = "\
Nothing is confirmed: `b24relay run` and every other reader still get every event. An event that \
another reader confirms between two looks is not seen here. Only the oldest 1000 events that are \
waiting can be looked at.

Examples:
  b24relay tap support
  b24relay tap support --once --format json | jq .data.message.text
  b24relay tap support --types ONIMV2MESSAGEADD,ONIMV2MESSAGEUPDATE";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct TapArgs {
    /// The source's name in the configuration
    source: String,
    /// Show what is waiting, then leave
    #[arg(long)]
    once: bool,
    /// text or json [default: text on a terminal, json elsewhere]
    #[arg(long, value_name = "FORMAT")]
    format: Option<StdoutFormat>,
    /// Only events of these types
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',')]
    types: Vec<String>,
}

/// Shows the source's events until stopped, or what is waiting.
pub async fn run(args: &TapArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    let source = find(config, &args.source)?;
    let callers = callers(config, [source]).await?;
    let ended = tokio::select! {
        biased;
        // A look that is cut off has changed nothing.
        () = signals.stop.cancelled() => Ok(()),
        ended = follow(args, source, &callers, signals) => ended,
    };
    callers.rest().await;
    ended.map(|()| Exit::Clean)
}

async fn follow(
    args: &TapArgs,
    source: &SourceConfig,
    callers: &Callers,
    signals: &Signals,
) -> anyhow::Result<()> {
    let mut patience = Patience::new(args.once);
    let identity = callers.identity(source).await?;
    let caller = callers.of(source).map_err(SetupError)?;
    let mut peek = Peek::new(source, &identity, caller);
    let mut view = View::new(args);
    loop {
        let nudges_seen = signals.nudge_count();
        match peek.look().await {
            Err(refusal) => {
                patience.wait_out(refusal, signals).await?;
                continue;
            }
            Ok(page) => {
                patience.restore();
                view.tell_odd(&page);
                if view.show(&page)? == Reader::Gone {
                    return Ok(());
                }
            }
        }
        if args.once || signals.pause(pause(source), nudges_seen).await == Wake::Stopping {
            return Ok(());
        }
    }
}

fn pause(source: &SourceConfig) -> Duration {
    if source.portal().is_loopback() { source.poll.idle } else { source.poll.idle.max(PAUSE_MIN) }
}

/// What has been shown, and how.
struct View {
    format: StdoutFormat,
    types: Vec<String>,
    /// The ids of the page before: whatever is not among them any more does not come again.
    seen: HashSet<EventId>,
    was_full: bool,
    /// What of the page before could not be read.
    odd: Vec<String>,
}

impl View {
    fn new(args: &TapArgs) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let otherwise = if is_terminal { StdoutFormat::Text } else { StdoutFormat::Json };
        let format = args.format.unwrap_or(otherwise);
        Self { format, types: args.types.clone(), seen: HashSet::new(), was_full: false, odd: Vec::new() }
    }

    /// Says what of `page` cannot be shown, when that is news.
    fn tell_odd(&mut self, page: &Batch) {
        let told = page.odd.iter().map(OddEvents::told).collect::<Vec<_>>();
        for odd in told.iter().filter(|odd| !self.odd.contains(odd)) {
            remark(&format!("cannot be read: {odd}"));
        }
        self.odd = told;
    }

    /// Prints what is new of `page`.
    fn show(&mut self, page: &Batch) -> io::Result<Reader> {
        let mut lines = Vec::new();
        for event in page.events.iter().filter(|event| !self.seen.contains(&event.id) && self.wants(event)) {
            readable::write_as(self.format, event, &mut lines);
        }
        let is_full = page.has_more || page.events.len() >= usize::from(PAGE_MAX);
        self.seen = page.events.iter().map(|event| event.id).collect();
        let reader = write(&if io::stdout().is_terminal() { readable::for_terminal(&lines) } else { lines })?;
        if is_full && !self.was_full {
            remark(&format!(
                "tap: {} events and more are waiting: only the oldest {PAGE_MAX} can be looked at until a reader \
                 such as `b24relay run` confirms some",
                page.events.len()
            ));
        }
        self.was_full = is_full;
        Ok(reader)
    }

    fn wants(&self, event: &Event) -> bool {
        self.types.is_empty() || self.types.iter().any(|kind| kind.trim().eq_ignore_ascii_case(&event.kind))
    }
}

/// Waits refusals out, as long as waiting can help.
enum Patience {
    /// Of somebody who wants a single look: that of every command.
    Looking(Tries),
    /// Of somebody who follows.
    Following { backoff: Backoff, failures: u32 },
}

impl Patience {
    fn new(once: bool) -> Self {
        if once {
            return Self::Looking(Tries::default());
        }
        Self::Following { backoff: Backoff::jittered(DELAY_MIN, DELAY_MAX), failures: 0 }
    }

    fn restore(&mut self) {
        if let Self::Following { backoff, failures } = self {
            backoff.reset();
            *failures = 0;
        }
    }

    async fn wait_out(&mut self, refusal: CallError, signals: &Signals) -> Result<(), CallError> {
        let delay = match self {
            Self::Looking(tries) => tries.pause(&refusal),
            Self::Following { backoff, failures } => {
                *failures += 1;
                let is_enough = refusal.class == Class::RetryBounded && *failures >= FAILURES_MAX;
                let asked = match refusal.class {
                    Class::OpWait => refusal.wait.unwrap_or(OPERATING_UNKNOWN),
                    _ => refusal.wait.unwrap_or_default(),
                };
                (heals(refusal.class) && !is_enough).then(|| backoff.next_delay().max(asked))
            }
        };
        let Some(delay) = delay else { return Err(refusal) };
        remark(&format!("tap: {refusal}; again in {:.1} s", delay.as_secs_f64()));
        signals.pause(delay, signals.nudge_count()).await;
        Ok(())
    }
}

/// Whether waiting can help. A page that is too large has been asked for in smaller parts already.
fn heals(class: Class) -> bool {
    matches!(class, Class::Retry | Class::RetryBounded | Class::Rate | Class::OpWait)
}
