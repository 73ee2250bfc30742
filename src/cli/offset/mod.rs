//! `b24relay offset`: where each sink stands in a source's queue, and putting it elsewhere.

mod skip;

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::{Exit, SetupError, UsageError};
use super::output::print;
use super::source::find;
use super::table::{aligned, table};
use crate::config::{Config, SourceConfig};
use crate::event::Offset;
use crate::portal::Memory;
use crate::relay::{Callers, StoreMemory, adopt};
use crate::shutdown::Signals;
use crate::store::{LaneReport, Store, StoreError};

pub const NOTES: &str = "\
An offset is the lowest event id that is still wanted. The portal forgets everything below the least one \
when it is polled next; what it has forgotten does not come back, and what is put behind is delivered again \
as far as the portal still has it (24 hours).

Examples:
  b24relay offset show support
  b24relay offset set support 1                the portal was restored: begin with what it has
  b24relay offset set support 90400            deliver again from event 90400 on
  b24relay offset set support 1 --new-queue    the source reads another user's queue from now on
  b24relay offset skip support --after 2004 --before 2006
                                               give up the unreadable event between these two";

#[derive(Debug, Args)]
pub struct OffsetArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the offset of each sink
    Show(ShowArgs),
    /// Put all sinks of a source at an offset; the daemon must be stopped
    Set(SetArgs),
    /// Give up an event that cannot be read, so that the source goes on behind it; works beside the daemon
    Skip(skip::SkipArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The source's name in the configuration
    source: String,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The source's name in the configuration
    source: String,
    /// The lowest event id that is still wanted; 1 is the beginning
    #[arg(value_parser = offset)]
    offset: Offset,
    /// Forget which queue the source has read so far: its credential belongs to another user now
    #[arg(long)]
    new_queue: bool,
}

fn offset(text: &str) -> Result<Offset, String> {
    let number = text.parse().ok().and_then(Offset::try_new);
    number.ok_or_else(|| format!("must be a whole number from 1 to {}", i64::MAX))
}

/// Shows, sets or skips.
pub async fn run(args: &OffsetArgs, config: &Config, signals: &Signals) -> anyhow::Result<Exit> {
    match &args.action {
        Action::Show(args) => show(args, config)?,
        Action::Set(args) => set(args, config).await?,
        Action::Skip(args) => skip::run(args, config, signals).await?,
    }
    Ok(Exit::Clean)
}

fn show(args: &ShowArgs, config: &Config) -> anyhow::Result<()> {
    let source = find(config, &args.source)?;
    let report = Store::report(&config.state)?;
    let known = report.sources.into_iter().find(|known| known.name == source.name);
    let known = known
        .ok_or_else(|| UsageError(format!("`{}` has not been polled yet: it has no offset", source.name)))?;
    let lanes: Vec<LaneReport> = report.lanes.into_iter().filter(|lane| lane.source == source.name).collect();
    if args.json {
        let offsets: Vec<_> =
            lanes.iter().map(|lane| json!({ "sink": lane.sink, "offset": lane.offset })).collect();
        let shown = json!({ "source": known.name, "queue": known.identity, "confirmed": known.confirmed, "sinks": offsets });
        print(&serde_json::to_string_pretty(&shown)?)?;
        return Ok(());
    }
    let mut offsets = table(&["SINK", "OFFSET"]);
    for lane in &lanes {
        offsets.add_row([lane.sink.clone(), lane.offset.to_string()]);
    }
    print(&format!(
        "queue      {}\nconfirmed  below {}\n\n{}",
        known.identity,
        known.confirmed,
        aligned(offsets)
    ))?;
    Ok(())
}

async fn set(args: &SetArgs, config: &Config) -> anyhow::Result<()> {
    let source = find(config, &args.source)?;
    let store = Store::open(&config.state)?;
    let identity = identity(config, source, &store).await?;
    let queue = match adopt(&store, &source.name, &identity).await {
        Err(StoreError::OtherQueue { .. }) if args.new_queue => {
            store.forget_queue(&source.name).await?;
            adopt(&store, &source.name, &identity).await?.0
        }
        adopted => adopted?.0,
    };
    let sinks = config.sinks.iter().filter(|sink| sink.takes_source(&source.name));
    store.set_offset(&source.name, sinks.map(|sink| sink.name.clone()).collect(), args.offset).await?;
    print(&format!(
        "all sinks of `{}` stand at offset {} of the queue `{}`",
        source.name, args.offset, queue.identity
    ))?;
    Ok(())
}

/// The queue that the source reads with the credential it has now. With OAuth that is the last login's.
async fn identity(config: &Config, source: &SourceConfig, store: &Store) -> anyhow::Result<String> {
    let memory: Arc<dyn Memory> = Arc::new(StoreMemory(store.clone()));
    let callers = Callers::open(config, [source], &memory).await.map_err(SetupError)?;
    Ok(callers.identity(source).await?)
}
