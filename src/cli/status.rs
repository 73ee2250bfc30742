//! `b24relay status`: what the state file says, beside a running daemon or without one.

use clap::Args;

use super::GlobalArgs;
use super::exit::Exit;
use super::output::print;
use super::spelling::{age, ago, size, span, time, until};
use super::table::{aligned, table};
use crate::store::{GraveReport, LaneReport, Report, SourceReport, Store};

const EXAMPLES: &str = "\
Examples:
  b24relay status
  b24relay status --state /var/lib/b24relay/b24relay.db     needs no configuration
  b24relay status --json | jq '.lanes[] | select(.trouble != \"\")'
  b24relay status --json | jq '.sources[] | {name, retention_left_s}'";

/// How many gaps are told one by one.
const GAPS_MAX: usize = 3;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

/// Prints the report of the state file.
pub fn run(args: &StatusArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let state = global.state()?;
    let report = Store::report(&state)?;
    if args.json {
        print(&serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&format!("state   {}\n{}", state.display(), told(&report)))?;
    }
    Ok(Exit::Clean)
}

fn told(report: &Report) -> String {
    let daemon = match &report.holder {
        Some(holder) => format!("daemon  running: {holder}"),
        None => "daemon  not running".to_owned(),
    };
    let losses: Vec<String> = report.sources.iter().flat_map(losses).collect();
    let graves: Vec<String> = report.dead_letters.iter().map(grave).collect();
    let parts = [daemon, sources(report), losses.join("\n"), lanes(report), graves.join("\n")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// A column that is there only when there is something in it.
fn optional(header: &'static str, is_there: bool) -> Option<&'static str> {
    is_there.then_some(header)
}

fn sources(report: &Report) -> String {
    let sources = &report.sources;
    let has_journal = sources.iter().any(|source| source.journal_events > 0);
    let mut header = vec!["SOURCE", "QUEUE", "LAST POLL", "RETENTION LEFT"];
    header.extend(optional("JOURNAL", has_journal).into_iter().chain(["STATE"]));
    let mut rows = table(&header);
    for source in sources {
        let SourceReport { name, identity, polled_ms, trouble, journal_events, journal_bytes, .. } = source;
        let polled = polled_ms.map_or("never".to_owned(), ago);
        let journal = format!("{journal_events} events, {}", size(*journal_bytes));
        let mut row = vec![name.clone(), identity.clone(), polled, retention(source)];
        row.extend(has_journal.then_some(journal));
        row.push(state(report, if trouble.is_empty() { "well" } else { trouble }, trouble));
        rows.add_row(row);
    }
    aligned(rows)
}

fn retention(source: &SourceReport) -> String {
    match source.retention_left_s {
        None => "-".to_owned(),
        Some(left_s) if left_s <= 0 => "none: events are being lost".to_owned(),
        Some(left_s) => span(left_s),
    }
}

/// What it does now; when nobody runs, what it was about in the end.
fn state(report: &Report, now: &str, trouble: &str) -> String {
    match &report.holder {
        Some(_) => now.to_owned(),
        None if trouble.is_empty() => "stopped".to_owned(),
        None => format!("stopped; before that: {trouble}"),
    }
}

/// The holes that nobody sees once a source is well again.
fn losses(source: &SourceReport) -> Vec<String> {
    let SourceReport { name, losses, stolen, stolen_ms, gaps, .. } = source;
    let mut told = Vec::new();
    if *losses > 0 {
        let times = if *losses == 1 { "once".to_owned() } else { format!("{losses} times") };
        told.push(format!("{name}: the subscription was lost {times}: events may be missing"));
    }
    if *stolen > 0 {
        let last = stolen_ms.map_or_else(String::new, |ms| format!(" (last {})", ago(ms)));
        told.push(format!(
            "{name}: {stolen} events disappeared before they were confirmed{last}: does another program read this queue?"
        ));
    }
    let latest = gaps.iter().rev().take(GAPS_MAX);
    told.extend(latest.map(|gap| format!("{name}: events from {} to {} may be lost", gap.from, gap.to)));
    if gaps.len() > GAPS_MAX {
        told.push(format!("{name}: and {} older gaps (--json has them)", gaps.len() - GAPS_MAX));
    }
    told
}

fn lanes(report: &Report) -> String {
    let lanes = &report.lanes;
    let has_expired = lanes.iter().any(|lane| lane.expired > 0);
    let has_buried = lanes.iter().any(|lane| lane.dead_letters > 0);
    let mut header = vec!["SOURCE", "SINK", "OFFSET", "DELIVERED", "FILTERED"];
    header.extend(optional("EXPIRED", has_expired));
    header.extend(optional("DEAD LETTERS", has_buried));
    header.extend(["LAST COMMIT", "STATE"]);
    let mut rows = table(&header);
    for lane in lanes {
        let mut row = vec![lane.source.clone(), lane.sink.clone()];
        row.extend([lane.offset, lane.delivered, lane.filtered].map(|number| number.to_string()));
        row.extend(has_expired.then(|| lane.expired.to_string()));
        row.extend(has_buried.then(|| lane.dead_letters.to_string()));
        let state = match paused(lane) {
            Some(paused) => paused,
            None => state(report, &doing(lane), &lane.trouble),
        };
        row.extend([ago(lane.committed_ms), state]);
        rows.add_row(row);
    }
    aligned(rows)
}

/// A pause is over only when a person says so, whether a daemon runs or not.
fn paused(lane: &LaneReport) -> Option<String> {
    let since_ms = lane.since_ms.filter(|_| lane.state == "paused")?;
    Some(format!("paused since {}: {}", time(since_ms), lane.trouble))
}

/// What a lane does while a daemon runs.
fn doing(lane: &LaneReport) -> String {
    let LaneReport { state, since_ms, next_ms, trouble, .. } = lane;
    let next = next_ms.map_or_else(String::new, |ms| format!(", next in {}", until(ms)));
    match (state.as_str(), since_ms) {
        ("retrying", Some(since_ms)) => format!("retrying for {}{next}: {trouble}", age(*since_ms)),
        ("held", Some(since_ms)) => format!("held since {}{next}: {trouble}", time(*since_ms)),
        _ if trouble.is_empty() => state.clone(),
        _ => format!("{state}: {trouble}"),
    }
}

/// The dead letters of one sink, and the way out.
fn grave(grave: &GraveReport) -> String {
    let GraveReport { sink, count, bytes, oldest_ms } = grave;
    let letters = if *count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") };
    format!(
        "{letters} of `{sink}` ({}, the oldest of {}): `b24relay dead-letters list --sink {sink}`",
        size(*bytes),
        ago(*oldest_ms)
    )
}
