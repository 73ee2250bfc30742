//! `b24relay status`: what the state file says, beside a running daemon or without one.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::GlobalArgs;
use super::exit::Exit;
use super::output::{print, print_json};
use super::palette::{Hue, Palette};
use super::spelling::{age, ago, size, span, time, until};
use super::table::{aligned, table};
use super::watch::{self, Between};
use crate::shutdown::Signals;
use crate::store::{GraveReport, LaneReport, MoveReport, Report, SourceReport, Store};

const EXAMPLES: &str = "\
Examples:
  b24relay status
  b24relay status --watch                                   again every two seconds, in place
  b24relay status --state /var/lib/b24relay/b24relay.db     needs no configuration
  b24relay status --json | jq '.lanes[] | select(.trouble != \"\")'
  b24relay status --json | jq '.sources[] | {name, retention_left_s}'";

/// How many gaps are told one by one.
const GAPS_MAX: usize = 3;

/// By how much the portal's clock and this machine's may differ before it is told, as in the log.
const SKEW_MAX_MS: u64 = 300_000;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// JSON for machines; with `--watch` a document a line
    #[arg(long)]
    json: bool,
    /// Show it again and again until Ctrl-C [default: every 2 seconds]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
        value_parser = watch::period)]
    pub watch: Option<Duration>,
}

/// Prints the report of the state file.
pub fn run(args: &StatusArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let state = global.state()?;
    if args.json {
        print_json(&Store::report(&state)?)?;
    } else {
        print(&shown(&state, Palette::of_stdout())?)?;
    }
    Ok(Exit::Clean)
}

/// Shows the report every `period` until stopped.
pub async fn watch(
    args: &StatusArgs,
    period: Duration,
    global: &GlobalArgs,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let state = global.state()?;
    if args.json {
        let look = || Ok(serde_json::to_string(&Store::report(&state)?)?);
        watch::watch(period, Between::Nothing, signals, look).await?;
    } else {
        let palette = Palette::of_stdout();
        watch::watch(period, Between::BlankLine, signals, || shown(&state, palette)).await?;
    }
    Ok(Exit::Clean)
}

fn shown(state: &Path, palette: Palette) -> anyhow::Result<String> {
    let view = View { report: &Store::report(state)?, palette };
    Ok(format!("state   {}\n{}", state.display(), view.told()))
}

/// A report as people see it.
struct View<'a> {
    report: &'a Report,
    palette: Palette,
}

impl View<'_> {
    fn told(&self) -> String {
        let Report { holder, trouble, sources, dead_letters, moves, .. } = self.report;
        let daemon = match holder {
            Some(holder) => format!("daemon  {}: {holder}", self.palette.paint(Hue::Green, "running")),
            None => format!("daemon  {}", self.palette.paint(Hue::Red, "not running")),
        };
        let trouble = trouble
            .iter()
            .map(|trouble| format!("nothing goes on until the state can be written: {trouble}"));
        let trouble: String = trouble.map(|text| self.palette.paint(Hue::Red, &text)).collect();
        let losses: Vec<String> = sources.iter().flat_map(losses).collect();
        let graves: Vec<String> = dead_letters.iter().map(grave).collect();
        let moves: Vec<String> = moves.iter().map(moved).collect();
        let parts = [
            daemon,
            trouble,
            self.sources(),
            moves.join("\n"),
            losses.join("\n"),
            self.lanes(),
            graves.join("\n"),
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
    }

    fn sources(&self) -> String {
        let sources = &self.report.sources;
        let has_journal = sources.iter().any(|source| source.journal_events > 0);
        let mut header = vec!["SOURCE", "QUEUE", "LAST POLL", "RETENTION LEFT"];
        header.extend(optional("JOURNAL", has_journal).into_iter().chain(["STATE"]));
        let mut rows = table(&header);
        for source in sources {
            let SourceReport { name, identity, polled_ms, journal_events, journal_bytes, .. } = source;
            let polled = polled_ms.map_or("never".to_owned(), ago);
            let journal = format!("{}, {}", counted(*journal_events, "event"), size(*journal_bytes));
            let mut row = vec![name.clone(), identity.clone(), polled, retention(source)];
            row.extend(has_journal.then_some(journal));
            row.push(self.source_state(source));
            rows.add_row(row);
        }
        aligned(rows)
    }

    fn source_state(&self, source: &SourceReport) -> String {
        let trouble = &source.trouble;
        if self.report.holder.is_none() {
            return self.stopped(trouble);
        }
        match self.report.obstacle(source) {
            Some(sink) => self.palette.paint(Hue::Yellow, &format!("waits for the sink `{sink}`")),
            None if trouble.is_empty() => self.palette.paint(Hue::Green, "well"),
            None => self.palette.paint(Hue::Yellow, trouble),
        }
    }

    /// What it was about in the end.
    fn stopped(&self, trouble: &str) -> String {
        let stopped = self.palette.paint(Hue::Yellow, "stopped");
        if trouble.is_empty() { stopped } else { format!("{stopped}; before that: {trouble}") }
    }

    fn lanes(&self) -> String {
        let lanes = &self.report.lanes;
        let has_expired = lanes.iter().any(|lane| lane.expired > 0);
        let has_buried = lanes.iter().any(|lane| lane.dead_letters > 0);
        let mut header = vec!["SOURCE", "SINK", "PENDING", "DELIVERED", "FILTERED"];
        header.extend(optional("EXPIRED", has_expired));
        header.extend(optional("DEAD LETTERS", has_buried));
        header.extend(["LAST COMMIT", "STATE"]);
        let mut rows = table(&header);
        for lane in lanes {
            let mut row = vec![lane.source.clone(), lane.sink.clone()];
            row.extend([lane.pending, lane.delivered, lane.filtered].map(|number| number.to_string()));
            row.extend(has_expired.then(|| lane.expired.to_string()));
            row.extend(has_buried.then(|| lane.dead_letters.to_string()));
            row.extend([ago(lane.committed_ms), self.lane_state(lane)]);
            rows.add_row(row);
        }
        aligned(rows)
    }

    fn lane_state(&self, lane: &LaneReport) -> String {
        match (paused(lane), &self.report.holder) {
            (Some(paused), _) => self.palette.paint_word(Hue::Red, &paused),
            (None, None) => self.stopped(&lane.trouble),
            (None, Some(_)) => self.palette.paint_word(hue(&lane.state), &doing(lane)),
        }
    }
}

fn hue(state: &str) -> Hue {
    match state {
        "flowing" => Hue::Green,
        "held" | "paused" => Hue::Red,
        _ => Hue::Yellow,
    }
}

/// A column that is there only when there is something in it.
fn optional(header: &'static str, is_there: bool) -> Option<&'static str> {
    is_there.then_some(header)
}

fn retention(source: &SourceReport) -> String {
    match source.retention_left_s {
        None => "-".to_owned(),
        Some(left_s) if left_s <= 0 => "none: events are being lost".to_owned(),
        Some(left_s) => span(left_s),
    }
}

fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// The holes that nobody sees once a source is well again.
fn losses(source: &SourceReport) -> Vec<String> {
    let SourceReport { name, losses, stolen, stolen_ms, gaps, skew_ms, .. } = source;
    let mut told = Vec::new();
    if skew_ms.unsigned_abs() >= SKEW_MAX_MS {
        let side = if *skew_ms < 0 { "behind" } else { "ahead of" };
        told.push(format!(
            "{name}: the portal's clock is {} {side} this machine's",
            span(skew_ms.abs() / 1000)
        ));
    }
    if *losses > 0 {
        let times = if *losses == 1 { "once".to_owned() } else { format!("{losses} times") };
        told.push(format!("{name}: the subscription was lost {times}: events may be missing"));
    }
    if *stolen > 0 {
        let last = stolen_ms.map_or_else(String::new, |ms| format!(" (last {})", ago(ms)));
        let events = counted(*stolen, "event");
        told.push(format!(
            "{name}: {events} disappeared before they were confirmed{last}: does another program read this queue?"
        ));
    }
    let latest = gaps.iter().rev().take(GAPS_MAX);
    told.extend(latest.map(|gap| format!("{name}: {}", gap.told())));
    if gaps.len() > GAPS_MAX {
        let older = counted((gaps.len() - GAPS_MAX) as u64, "older gap");
        told.push(format!("{name}: and {older} (--json has them)"));
    }
    told
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

/// A portal that has moved, and the way back.
fn moved(moved: &MoveReport) -> String {
    let MoveReport { portal, moved_to } = moved;
    format!("{portal} has moved to {moved_to}: `b24relay portal forget {portal}` forgets it")
}

/// The dead letters of one sink, and the way out.
fn grave(grave: &GraveReport) -> String {
    let GraveReport { sink, count, bytes, oldest_ms } = grave;
    let letters = counted(*count, "dead letter");
    format!(
        "{letters} of `{sink}` ({}, the oldest of {}): `b24relay dead-letters list --sink {sink}`",
        size(*bytes),
        ago(*oldest_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_no_several_things() {
        assert_eq!(counted(1, "event"), "1 event");
        assert_eq!(counted(0, "older gap"), "0 older gaps");
        assert_eq!(counted(2, "dead letter"), "2 dead letters");
    }
}
