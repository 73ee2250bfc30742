//! `b24relay offset skip`: the operator gives up events that cannot be read, so that later events are delivered.
//!
//! The source may skip from one good event to the next one and no further. The operator names both events, and both
//! must be next to the unreadable events that the portal shows now.

use clap::Args;

use crate::cli::exit::UsageError;
use crate::cli::output::consent::ConsentArgs;
use crate::cli::output::print::print;
use crate::cli::portal::peek::Peek;
use crate::cli::portal::source::{clients, find};
use crate::config::{Config, SourceConfig};
use crate::event::{Batch, Event, OddEvents};
use crate::shutdown::Signals;
use crate::store::{Report, Skip, SourceReport, Store};
use crate::wall_clock::now_ms;

#[derive(Debug, Args)]
pub(super) struct SkipArgs {
    /// The source's name in the configuration
    source: String,
    /// The last good event before the unreadable one, as the source's error names it; 0 if there is none
    #[arg(long, value_name = "ID")]
    after: u64,
    /// The first good event after it
    #[arg(long, value_name = "ID")]
    before: u64,
    /// How many unreadable events lie between them
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    count: usize,
    #[command(flatten)]
    consent: ConsentArgs,
}

/// Records the skip, after the portal has shown the same events and the operator has agreed. The daemon skips at its
/// next poll.
pub(super) async fn run(args: &SkipArgs, config: &Config, signals: &Signals) -> anyhow::Result<()> {
    let source = find(config, &args.source)?;
    args.consent.require_somebody()?;
    let report = Store::report(&config.state)?;
    let known = known(&report, source)?;
    let page = peek(config, source, known).await?;
    let odd = args.chosen(&page)?;
    args.check_beginning(&odd, known)?;
    let skip = args.skip();
    let said = Store::open_beside(&config.state)?.skips(&source.name).await?;
    if said.iter().any(|other| other.covers(&odd)) {
        return Ok(print(&format!("{} of `{}`: skipped already", skip.told(), source.name))?);
    }
    print(&format!("{}: {}", skip.told(), odd.reason))?;
    let question = format!("Lose {} of `{}` for good?", skip.told(), source.name);
    if !args.consent.is_given(&question, signals).await? {
        return Ok(());
    }
    let (from_ms, to_ms) = args.times(&page);
    let gap = Store::open_beside(&config.state)?.note_skip(&source.name, skip, from_ms, to_ms).await?;
    print(&format!(
        "recorded as gap {gap} of `{}`: `b24relay run` goes on behind it at its next poll; SIGHUP makes it poll at once",
        source.name
    ))?;
    Ok(())
}

fn known<'r>(report: &'r Report, source: &SourceConfig) -> Result<&'r SourceReport, UsageError> {
    let known = report.sources.iter().find(|known| known.name == source.name);
    known.filter(|known| !known.identity.is_empty()).ok_or_else(|| {
        UsageError(format!("`{}` has not been polled yet: start `b24relay run` first", source.name))
    })
}

/// The events that the portal shows, after checking that this is the queue of the state file.
async fn peek(config: &Config, source: &SourceConfig, known: &SourceReport) -> anyhow::Result<Batch> {
    let clients = clients(config, [source]).await?;
    let identity = clients.identity(source).await?;
    if identity != known.identity {
        let text = format!(
            "the credential of `{}` belongs to the queue `{identity}`, and the state file is about `{}`",
            source.name, known.identity
        );
        return Err(UsageError(text).into());
    }
    let client = clients.of(source)?;
    let page = Peek::new(source, &identity, client).page().await;
    clients.rest().await;
    Ok(page?)
}

impl SkipArgs {
    fn skip(&self) -> Skip {
        let Self { after, before, count, .. } = *self;
        Skip { after, before, count, gap: 0, said_ms: 0, is_over: false }
    }

    /// The unreadable events that the portal shows between the two named events.
    fn chosen(&self, page: &Batch) -> Result<OddEvents, UsageError> {
        let shown: Vec<String> = page.odd.iter().map(OddEvents::told).collect();
        let shown = if shown.is_empty() { "none".to_owned() } else { shown.join("; ") };
        let is_named = |odd: &&OddEvents| self.skip().covers(odd);
        page.odd.iter().find(is_named).cloned().ok_or_else(|| {
            UsageError(format!(
                "the portal does not show {} with nothing else between them. Unreadable events that it shows: {shown}",
                self.skip().told()
            ))
        })
    }

    /// If the portal has no event before the unreadable ones any more, the state file must confirm the named one.
    fn check_beginning(&self, odd: &OddEvents, known: &SourceReport) -> Result<(), UsageError> {
        let done = known.confirmed.saturating_sub(1);
        if odd.after.is_some() || [0, done].contains(&self.after) {
            return Ok(());
        }
        let text =
            format!("the last event before it is not {} but {}, as the state file says", self.after, done);
        Err(UsageError(text))
    }

    /// The times of the two neighbours, as far as their dates are readable.
    fn times(&self, page: &Batch) -> (i64, i64) {
        let date_ms =
            |id: u64| page.events.iter().find(|event| event.id.get() == id).and_then(Event::date_ms);
        let to_ms = date_ms(self.before).unwrap_or_else(now_ms);
        (date_ms(self.after).unwrap_or(to_ms).min(to_ms), to_ms)
    }
}
