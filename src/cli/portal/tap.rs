//! `b24relay tap`: shows a source's events as they arrive, without confirming them.

use std::collections::HashSet;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use b24_client::{CallError, Class, Tries};
use b24_client::{OPERATING_UNKNOWN, PAGE_MAX};
use clap::Args;

use crate::cli::exit_code::Exit;
use crate::cli::output::print::{Reader, remark, write};
use crate::cli::portal::peek::Peek;
use crate::cli::portal::source::{clients, find};
use crate::config::{Config, SourceConfig, StdoutFormat};
use crate::event::{Batch, Event, EventId, OddEvents};
use crate::relay::PortalClients;
use crate::retry::Backoff;
use crate::shutdown::{Signals, Wake};
use crate::sink::text_format;

/// The shortest pause, whatever `poll.idle` says, because other clients use the portal's rate limit too.
const PAUSE_MIN: Duration = Duration::from_secs(2);

/// The delays after a refusal, the same as those of a source.
const DELAY_MIN: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);

/// How many refusals of unclear cause in a row end the command.
const FAILURES_MAX: u32 = 5;

const NOTES: &str = "\
Confirms nothing: `b24relay run` and every other reader still receive every event. An event that another reader \
confirms between two polls is not shown. Only the oldest 1000 waiting events can be shown.

Examples:
  b24relay tap support
  b24relay tap support --once --format json | jq .data.message.text
  b24relay tap support --types ONIMV2MESSAGEADD,ONIMV2MESSAGEUPDATE";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(in crate::cli) struct TapArgs {
    /// The source's name in the configuration
    source: String,
    /// Show the waiting events, then exit
    #[arg(long)]
    once: bool,
    /// text or json [default: text on a terminal, json elsewhere]
    #[arg(long, value_name = "FORMAT")]
    format: Option<StdoutFormat>,
    /// Only events of these types
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',')]
    types: Vec<String>,
}

/// Shows the source's events until stopped, or with `--once` the waiting ones.
pub(in crate::cli) async fn run(args: &TapArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    let source = find(config, &args.source)?;
    let clients = clients(config, [source]).await?;
    let ended = tokio::select! {
        biased;
        // An interrupted read has changed nothing.
        () = signals.stop.cancelled() => Ok(()),
        ended = follow(args, source, &clients, signals) => ended,
    };
    clients.rest().await;
    ended.map(|()| Exit::Clean)
}

async fn follow(
    args: &TapArgs,
    source: &SourceConfig,
    clients: &PortalClients,
    signals: &Signals,
) -> anyhow::Result<()> {
    let mut patience = Patience::new(args.once);
    let identity = clients.identity(source).await?;
    let client = clients.of(source)?;
    let mut peek = Peek::new(source, &identity, client);
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

/// What was shown already, and in which format.
struct View {
    format: StdoutFormat,
    types: Vec<String>,
    /// The ids of the previous page. An id that is no longer on the page does not come back.
    seen: HashSet<EventId>,
    was_full: bool,
    /// The unreadable events of the previous page.
    odd: Vec<String>,
}

impl View {
    fn new(args: &TapArgs) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let otherwise = if is_terminal { StdoutFormat::Text } else { StdoutFormat::Json };
        let format = args.format.unwrap_or(otherwise);
        Self { format, types: args.types.clone(), seen: HashSet::new(), was_full: false, odd: Vec::new() }
    }

    /// Reports unreadable events of `page` that were not reported yet.
    fn tell_odd(&mut self, page: &Batch) {
        let told = page.odd.iter().map(OddEvents::told).collect::<Vec<_>>();
        for odd in told.iter().filter(|odd| !self.odd.contains(odd)) {
            remark(&format!("cannot be read: {odd}"));
        }
        self.odd = told;
    }

    /// Prints the new events of `page`.
    fn show(&mut self, page: &Batch) -> io::Result<Reader> {
        let mut lines = Vec::new();
        for event in page.events.iter().filter(|event| !self.seen.contains(&event.id) && self.wants(event)) {
            text_format::write_as(self.format, event, &mut lines);
        }
        let is_full = page.has_more || page.events.len() >= usize::from(PAGE_MAX);
        self.seen = page.events.iter().map(|event| event.id).collect();
        let reader =
            write(&if io::stdout().is_terminal() { text_format::for_terminal(&lines) } else { lines })?;
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

/// How long to retry after refusals.
enum Patience {
    /// A single read, with the retries of every command.
    Looking(Tries),
    /// A continuous read.
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

/// Whether waiting can help. A page that was too large has already been requested in smaller parts.
fn heals(class: Class) -> bool {
    matches!(class, Class::Retry | Class::RetryBounded | Class::Rate | Class::OpWait)
}
