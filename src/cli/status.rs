//! `b24relay status`: what the state file says, beside a running daemon or without one.
#![expect(clippy::print_stdout, reason = "the answer to the person who asked")]

use clap::Args;
use comfy_table::{Table, presets};
use jiff::Timestamp;

use super::GlobalArgs;
use super::exit::Exit;
use crate::store::{LaneReport, Report, SourceReport, Store};

const EXAMPLES: &str = "\
Examples:
  b24relay status
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
    let state = global.load()?.state;
    let report = Store::report(&state)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("state   {}", state.display());
        print_tables(&report);
    }
    Ok(Exit::Clean)
}

fn print_tables(report: &Report) {
    match &report.holder {
        Some(holder) => println!("daemon  running: {holder}"),
        None => println!("daemon  not running"),
    }
    let mut sources = table(&["SOURCE", "QUEUE", "LAST POLL", "STATE"]);
    for SourceReport { name, identity, polled_ms, trouble } in &report.sources {
        let polled = polled_ms.map_or("never".to_owned(), ago);
        sources.add_row([name, identity, &polled, well_unless(trouble)]);
    }
    println!("\n{sources}");
    let mut lanes = table(&["SOURCE", "SINK", "OFFSET", "DELIVERED", "FILTERED", "LAST COMMIT", "STATE"]);
    for LaneReport { source, sink, offset, committed_ms, delivered, filtered, trouble } in &report.lanes {
        let [offset, delivered, filtered] = [offset, delivered, filtered].map(u64::to_string);
        let committed = ago(*committed_ms);
        lanes.add_row([source, sink, &offset, &delivered, &filtered, &committed, well_unless(trouble)]);
    }
    println!("\n{lanes}");
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
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
