//! `b24relay offset`: shows or changes the position of each sink in a source's queue.

mod skip; // gives up an unreadable event
use std::sync::Arc;

use b24_client::KeyValue;
use b24_client::NoKeyValue;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::cli::output::consent::ConsentArgs;
use crate::cli::output::print::{print, print_json};
use crate::cli::output::table::{aligned, table};
use crate::cli::portal::loss::{self, Loss};
use crate::cli::portal::source::find;
use crate::config::{Config, SourceConfig};
use crate::event::Offset;
use crate::relay::{PortalClients, StoreKeyValue, bind, is_same_queue};
use crate::shutdown::Signals;
use crate::store::{LaneReport, Store};

pub(super) const NOTES: &str = "\
An offset is the lowest event id that a sink still needs. At the next poll the portal deletes all events below the \
lowest offset, and deleted events cannot be recovered. After a move back, events are delivered again if the \
portal still has them (24 hours).

A move forward past undelivered events shows their number and asks. An offset more than one above the highest id \
that the portal or the state file knows is refused without `--beyond`.

Examples:
  b24relay offset show support
  b24relay offset set support 1                the portal was restored: start with its oldest event
  b24relay offset set support 90400            deliver again from event 90400 on
  b24relay offset set support 90500 --dry-run  how many events would be skipped?
  b24relay offset set support 1 --new-queue    the source reads another user's queue from now on
  b24relay offset skip support --after 2004 --before 2006
                                               skip the unreadable event between these two";

#[derive(Debug, Args)]
pub(super) struct OffsetArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the confirmed id, the number of events read, and each sink's next and pending events
    Show(ShowArgs),
    /// Set all sinks of a source to an offset; the daemon must be stopped
    Set(SetArgs),
    /// Skip an event that cannot be read, so that the source continues after it; works while the daemon runs
    Skip(skip::SkipArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The source's name in the configuration
    source: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The source's name in the configuration
    source: String,
    /// The lowest event id to deliver; 1 is the beginning
    #[arg(value_parser = offset)]
    offset: Offset,
    /// Forget the queue that the source has read so far, because its credential now belongs to another user
    #[arg(long)]
    new_queue: bool,
    /// Set the offset even if no event with such a high id was seen yet; events below it will not be delivered
    #[arg(long)]
    beyond: bool,
    #[command(flatten)]
    consent: ConsentArgs,
}

impl SetArgs {
    /// Refuses an offset with a digit too many, because it would skip all events for a long time.
    fn check_height(&self, highest: Option<u64>) -> Result<(), UsageError> {
        match highest {
            Some(highest) if self.offset.get() > highest + 1 && !self.beyond => Err(UsageError(format!(
                "the highest event id that was seen of `{}` is {highest}: no offset above {} is set; \
                 with `--beyond` it is, and events below it will not be delivered",
                self.source,
                highest + 1
            ))),
            _ => Ok(()),
        }
    }
}

fn offset(text: &str) -> Result<Offset, String> {
    let number = text.parse().ok().and_then(Offset::try_new);
    number.ok_or_else(|| format!("must be a whole number from 1 to {}", i64::MAX))
}

/// Shows, sets or skips.
pub(super) async fn run(args: &OffsetArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    match &args.action {
        Action::Show(args) => show(args, config),
        Action::Set(args) => set(args, config, signals).await,
        Action::Skip(args) => {
            skip::run(args, config, signals).await?;
            Ok(Exit::Clean)
        }
    }
}

fn show(args: &ShowArgs, config: &Config) -> anyhow::Result<Exit> {
    let source = find(config, &args.source)?;
    let report = Store::report(&config.state)?;
    let known = report.sources.into_iter().find(|known| known.name == source.name);
    let known = known
        .ok_or_else(|| UsageError(format!("`{}` has not been polled yet: it has no offset", source.name)))?;
    let lanes: Vec<LaneReport> = report.lanes.into_iter().filter(|lane| lane.source == source.name).collect();
    if args.json {
        let sinks =
            lanes.iter().map(|lane| json!({ "sink": lane.sink, "next": lane.next, "pending": lane.pending }));
        let sinks: Vec<_> = sinks.collect();
        let shown = json!({ "source": known.name, "queue": known.identity, "confirmed": known.confirmed, "wanted": known.floor, "next": known.next, "sinks": sinks });
        print_json(&shown)?;
        return Ok(Exit::Clean);
    }
    let mut sinks = table(&["SINK", "NEXT EVENT", "PENDING"]);
    for lane in &lanes {
        sinks.add_row([lane.sink.clone(), lane.next.to_string(), lane.pending.to_string()]);
    }
    let wanted =
        if known.floor > 1 { format!("\nwanted     from id {} on", known.floor) } else { String::new() };
    print(&format!(
        "queue      {}\nconfirmed  below id {}{wanted}\nread       {}\n\n{}",
        known.identity,
        known.confirmed,
        format_args!("{} events", known.next - 1),
        aligned(sinks)
    ))?;
    Ok(Exit::Clean)
}

async fn set(args: &SetArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    let source = find(config, &args.source)?;
    // Create no file before the operator has agreed.
    let mut store = config.state.exists().then(|| Store::open(&config.state)).transpose()?;
    let clients = clients(config, source, store.as_ref()).await?;
    let identity = clients.identity(source).await?;
    let is_other = match &store {
        Some(store) => reads_other(config, store, source, &identity).await?,
        None => false,
    };
    if let Some(store) = store.as_ref().filter(|_| is_other && !args.new_queue) {
        bind(store, &source.name, &identity).await?;
    }
    let loss = loss(args, config, source, &clients, store.as_ref().filter(|_| !is_other)).await?;
    let loss = match store.as_ref().filter(|_| is_other) {
        Some(store) => forgotten(source, store, loss).await?,
        None => loss,
    };
    let what = format!("of `{}` will not be delivered to the sinks that have not got them", source.name);
    if !loss.ask(&args.consent, &what, "skip them?", signals).await? {
        return Ok(Exit::Clean);
    }
    let store = match store.take() {
        Some(store) => store,
        None => Store::open(&config.state)?,
    };
    if is_other {
        store.forget_queue(&source.name).await?;
    }
    let queue = bind(&store, &source.name, &identity).await?.0;
    let sinks = config.sinks.iter().filter(|sink| sink.takes_source(&source.name));
    store.set_offset(&source.name, sinks.map(|sink| sink.name.clone()).collect(), args.offset).await?;
    print(&format!(
        "all sinks of `{}` stand at offset {} of the queue `{}`",
        source.name, args.offset, queue.identity
    ))?;
    Ok(Exit::Clean)
}

/// The undelivered events below the new offset. A move back loses nothing and needs no question.
async fn loss(
    args: &SetArgs,
    config: &Config,
    source: &SourceConfig,
    clients: &PortalClients,
    store: Option<&Store>,
) -> anyhow::Result<Loss> {
    let known = loss::known(config, source, store).await?;
    let end = Some(args.offset);
    let mut loss = Loss::of_journal(&source.name, &known, end, |_| true);
    if args.offset > known.confirmed {
        let page = loss::page(source, clients).await;
        let shown = page.iter().flat_map(|page| &page.events).map(|event| event.id.get());
        args.check_height(shown.chain(known.highest()).max())?;
        loss.add_page(page, end, |event| known.lacks(event.id, |_| true));
    }
    Ok(loss)
}

/// `loss`, and the events in the journal of the queue that is forgotten.
async fn forgotten(source: &SourceConfig, store: &Store, mut loss: Loss) -> anyhow::Result<Loss> {
    loss.add(Loss::of_journal(&source.name, &store.undelivered(&source.name).await?, None, |_| true));
    Ok(loss)
}

/// Whether the credential opens a queue other than the recorded one.
async fn reads_other(
    config: &Config,
    store: &Store,
    source: &SourceConfig,
    identity: &str,
) -> anyhow::Result<bool> {
    let report = Store::report(&config.state)?;
    let known =
        report.sources.into_iter().find(|known| known.name == source.name && !known.identity.is_empty());
    Ok(match known {
        Some(known) => known.identity != identity && !is_same_queue(store, &known.identity, identity).await,
        None => false,
    })
}

/// The portal clients with the source's current credential. With OAuth this is the last login.
async fn clients(
    config: &Config,
    source: &SourceConfig,
    store: Option<&Store>,
) -> anyhow::Result<PortalClients> {
    let key_value: Arc<dyn KeyValue> = match store {
        Some(store) => Arc::new(StoreKeyValue(store.clone())),
        None => Arc::new(NoKeyValue),
    };
    Ok(PortalClients::open(config, [source], &key_value).await?)
}
