//! `b24relay status`: what the state file says, beside a running daemon or without one.

use clap::Args;
use jiff::Timestamp;

use super::GlobalArgs;
use super::exit::Exit;
use super::output::print;
use super::table::{aligned, table};
use crate::store::{LaneReport, Report, SourceReport, Store};

const EXAMPLES: &str = "\
Examples:
  b24relay status
  b24relay status --state /var/lib/b24relay/b24relay.db     needs no configuration
  b24relay status --json | jq '.lanes[] | select(.trouble != \"\")'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

/// Prints the report of the state file.
pub fn run(args: &StatusArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    // A state file named outright needs no configuration, and no right to read its secrets.
    let state = match &global.state {
        Some(state) => state.clone(),
        None => global.load()?.state,
    };
    let report = Store::report(&state)?;
    if args.json {
        print(&serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&format!("state   {}\n{}", state.display(), tables(&report)))?;
    }
    Ok(Exit::Clean)
}

fn tables(report: &Report) -> String {
    let daemon = match &report.holder {
        Some(holder) => format!("running: {holder}"),
        None => "not running".to_owned(),
    };
    let mut sources = table(&["SOURCE", "QUEUE", "LAST POLL", "STATE"]);
    for SourceReport { name, identity, polled_ms, trouble, confirmed: _, losses } in &report.sources {
        let polled = polled_ms.map_or("never".to_owned(), ago);
        sources.add_row([name, identity, &polled, &state(trouble, *losses)]);
    }
    let mut lanes = table(&["SOURCE", "SINK", "OFFSET", "DELIVERED", "FILTERED", "LAST COMMIT", "STATE"]);
    for LaneReport { source, sink, offset, committed_ms, delivered, filtered, trouble } in &report.lanes {
        let [offset, delivered, filtered] = [offset, delivered, filtered].map(u64::to_string);
        let committed = ago(*committed_ms);
        lanes.add_row([source, sink, &offset, &delivered, &filtered, &committed, well_unless(trouble)]);
    }
    format!("daemon  {daemon}\n\n{}\n\n{}", aligned(sources), aligned(lanes))
}

/// A source's trouble, and the holes that nobody sees once it is well again.
fn state(trouble: &str, losses: u64) -> String {
    let now = well_unless(trouble);
    match losses {
        0 => now.to_owned(),
        1 => format!("{now} (the subscription was lost once: events may be missing)"),
        _ => format!("{now} (the subscription was lost {losses} times: events may be missing)"),
    }
}

fn well_unless(trouble: &str) -> &str {
    if trouble.is_empty() { "well" } else { trouble }
}

/// How long ago, in the greatest unit that fits.
fn ago(unix_ms: i64) -> String {
    let seconds = (Timestamp::now().as_millisecond() - unix_ms).max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
