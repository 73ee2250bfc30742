//! `b24relay status`: shows the content of the state file, with or without a running daemon.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::cli::GlobalArgs;
use crate::cli::exit_code::Exit;
use crate::cli::output::palette::{Hue, Palette};
use crate::cli::output::print::{print, print_json};
use crate::cli::output::table::{Columns, Importance};
use crate::cli::output::watch::{self, Between};
use crate::config;
use crate::health::GAPS_MAX;
use crate::health::{Grade, Health, LaneHealth, LaneState, SourceHealth};
use crate::human::{ago, size, span};
use crate::relay::SKEW_MAX;
use crate::shutdown::Signals;
use crate::store::{DeadLetterReport, MoveReport, SourceReport, Store};
use crate::wall_clock::now_ms;

const EXAMPLES: &str = "\
Examples:
  b24relay status
  b24relay status --problems                                only problems
  b24relay status --watch                                   repeat every two seconds, in place
  b24relay status --state /var/lib/b24relay/b24relay.db     needs no configuration
  b24relay status --json | jq '.lanes[] | select(.grade != \"healthy\")'
  b24relay status --json | jq '.sources[] | {name, state, retention_left_s}'

Exit codes: 0 a daemon runs, 69 none does, 64 usage, 74 the state file cannot be read.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct StatusArgs {
    /// Print JSON; with `--watch` one document per line
    #[arg(long)]
    json: bool,
    /// Show only problems, or one line if there are none
    #[arg(long, conflicts_with = "json")]
    problems: bool,
    /// Repeat until Ctrl-C [default: every 2 seconds]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
        value_parser = watch::period)]
    pub watch: Option<Duration>,
}

/// Prints a report of the state file. The exit code says whether a daemon runs.
pub(in crate::cli) fn run(args: &StatusArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let state = global.state()?;
    let health = look(&state, global)?;
    if args.json {
        print_json(&document(&health)?)?;
    } else {
        print(&shown(&state, &health, args.problems, Palette::of_stdout()))?;
    }
    Ok(if health.holder.is_some() { Exit::Clean } else { Exit::Unavailable })
}

/// Prints the report every `period` until stopped.
pub(in crate::cli) async fn watch(
    args: &StatusArgs,
    period: Duration,
    global: &GlobalArgs,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let state = global.state()?;
    if args.json {
        let look = || Ok(document(&look(&state, global)?)?.to_string());
        watch::watch(period, Between::Nothing, signals, look).await?;
    } else {
        let palette = Palette::of_stdout();
        let look = || Ok(shown(&state, &look(&state, global)?, args.problems, palette));
        watch::watch(period, Between::BlankLine, signals, look).await?;
    }
    Ok(Exit::Clean)
}

fn look(state: &Path, global: &GlobalArgs) -> anyhow::Result<Health> {
    let mut health = Health::of(Store::report(state)?, now_ms());
    // If the secrets cannot be read or the configuration has a mistake, everything in the state file is shown.
    if global.state.is_none()
        && let Ok(loaded) = config::load(&global.overrides())
    {
        let config::Config { sources, sinks, .. } = &loaded.config;
        health.mark_removed(|source, sink| {
            let takes =
                |sink: &str| sinks.iter().any(|known| known.name == sink && known.takes_source(source));
            sources.iter().any(|known| known.name == source) && sink.is_none_or(takes)
        });
    }
    Ok(health)
}

/// `health` as JSON, with the sentences about its problems.
fn document(health: &Health) -> serde_json::Result<Value> {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        health: &'a Health,
        problems: Vec<String>,
    }
    let problems = health.problems().into_iter().map(|problem| problem.text).collect();
    serde_json::to_value(Document { health, problems })
}

fn shown(state: &Path, health: &Health, is_brief: bool, palette: Palette) -> String {
    let view = View { health, palette };
    if is_brief {
        return view.brief();
    }
    format!("state   {}\n{}", state.display(), view.told())
}

/// The report for people.
struct View<'a> {
    health: &'a Health,
    palette: Palette,
}

impl View<'_> {
    fn told(&self) -> String {
        let noted = self.health.noted_ms.map_or_else(|| "nothing yet".to_owned(), ago);
        let parts = [
            format!("{}\nnoted   {noted}", self.daemon()),
            self.problems().join("\n"),
            self.sources(),
            self.lanes(),
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
    }

    /// Only the problems.
    fn brief(&self) -> String {
        let mut lines = self.problems();
        if self.health.holder.is_none() {
            lines.insert(0, self.daemon());
        }
        if lines.is_empty() { self.palette.paint(Hue::Green, "no problems") } else { lines.join("\n") }
    }

    fn daemon(&self) -> String {
        match &self.health.holder {
            Some(holder) => format!("daemon  {}: {holder}", self.palette.paint(Hue::Green, "running")),
            None => format!("daemon  {}", self.palette.paint(Hue::Red, "not running")),
        }
    }

    /// The problems, most severe first.
    fn problems(&self) -> Vec<String> {
        let Health { sources, lanes, dead_letters, moves, holder, .. } = self.health;
        let mut lines: Vec<String> = self
            .health
            .problems()
            .iter()
            .map(|problem| format!("{}: {}", self.grade(problem.grade), problem.text))
            .collect();
        if holder.is_none() {
            lines.extend(sources.iter().filter(|source| !source.trouble.is_empty()).map(before_the_stop));
            lines.extend(lanes.iter().filter_map(lane_before_the_stop));
        }
        lines.extend(sources.iter().flat_map(|source| losses(&source.report)));
        lines.extend(dead_letters.iter().map(stored_dead_letters));
        lines.extend(moves.iter().map(moved));
        lines
    }

    fn grade(&self, grade: Grade) -> String {
        match grade {
            Grade::Healthy => self.palette.paint(Hue::Green, "healthy"),
            Grade::Degraded => self.palette.paint(Hue::Yellow, "degraded"),
            Grade::ActionRequired => self.palette.paint(Hue::Red, "action required"),
        }
    }

    fn label(&self, grade: Grade, label: &str) -> String {
        let hue = match grade {
            Grade::Healthy => Hue::Green,
            Grade::Degraded => Hue::Yellow,
            Grade::ActionRequired => Hue::Red,
        };
        self.palette.paint_word(hue, label)
    }

    fn sources(&self) -> String {
        let sources = &self.health.sources;
        let column = |cell: &dyn Fn(&SourceHealth) -> String| sources.iter().map(cell).collect::<Vec<_>>();
        let mut columns = Columns::default();
        columns.add("SOURCE", Importance::Needed, column(&|source| source.report.name.clone()));
        columns.add("STATE", Importance::Needed, column(&|source| self.label(source.grade, &source.label)));
        let polled = |source: &SourceHealth| source.report.polled_ms.map_or("never".to_owned(), ago);
        columns.add("LAST POLL", Importance::Needed, column(&polled));
        columns.add("RETENTION LEFT", Importance::High, column(&|source| retention(&source.report)));
        if sources.iter().any(|source| source.report.journal_events > 0) {
            let journal = |source: &SourceHealth| {
                let SourceReport { journal_events, journal_bytes, .. } = source.report;
                format!("{}, {}", counted(journal_events, "event"), size(journal_bytes))
            };
            columns.add("JOURNAL", Importance::Middle, column(&journal));
        }
        if sources.iter().any(|source| source.report.user.is_some()) {
            let user = |source: &SourceHealth| source.report.user.clone().unwrap_or_default();
            columns.add("USER", Importance::Middle, column(&user));
        }
        columns.add("QUEUE", Importance::Low, column(&|source| source.report.identity.clone()));
        columns.aligned()
    }

    fn lanes(&self) -> String {
        let lanes = &self.health.lanes;
        let column = |cell: &dyn Fn(&LaneHealth) -> String| lanes.iter().map(cell).collect::<Vec<_>>();
        let mut columns = Columns::default();
        columns.add("SOURCE", Importance::Needed, column(&|lane| lane.report.source.clone()));
        columns.add("SINK", Importance::Needed, column(&|lane| lane.report.sink.clone()));
        columns.add("STATE", Importance::Needed, column(&|lane| self.label(lane.grade, &lane.label)));
        columns.add("PENDING", Importance::Needed, column(&|lane| lane.report.pending.to_string()));
        columns.add("DELIVERED", Importance::High, column(&|lane| lane.report.delivered.to_string()));
        if lanes.iter().any(|lane| lane.report.dead_letters > 0) {
            let letters = |lane: &LaneHealth| lane.report.dead_letters.to_string();
            columns.add("DEAD LETTERS", Importance::High, column(&letters));
        }
        if lanes.iter().any(|lane| lane.report.expired > 0) {
            columns.add("EXPIRED", Importance::Middle, column(&|lane| lane.report.expired.to_string()));
        }
        columns.add("FILTERED", Importance::Middle, column(&|lane| lane.report.filtered.to_string()));
        columns.add("LAST COMMIT", Importance::Low, column(&|lane| ago(lane.report.committed_ms)));
        columns.aligned()
    }
}

fn before_the_stop(source: &SourceHealth) -> String {
    format!("source `{}` before it was stopped: {}", source.report.name, source.trouble)
}

fn lane_before_the_stop(lane: &LaneHealth) -> Option<String> {
    let report = &lane.report;
    if report.trouble.is_empty() || lane.state == LaneState::Paused {
        return None;
    }
    Some(format!("sink `{}` for `{}` before it was stopped: {}", report.sink, report.source, report.trouble))
}

fn retention(source: &SourceReport) -> String {
    match source.retention_left_s {
        None => "-".to_owned(),
        Some(left_s) if left_s <= 0 => "none".to_owned(),
        Some(left_s) => span(left_s),
    }
}

fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// Gaps, which stay unnoticed after a source has recovered, and gaps that will soon occur.
fn losses(source: &SourceReport) -> Vec<String> {
    let SourceReport { name, losses, stolen, stolen_ms, gaps, skew_ms, .. } = source;
    let mut told = Vec::new();
    if source.retention_left_s.is_some_and(|left_s| left_s <= 0) {
        told.push(format!("{name}: no retention is left: events are being lost"));
    }
    if skew_ms.unsigned_abs() / 1000 >= SKEW_MAX.as_secs() {
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

/// A portal that has moved, and the command that undoes it.
fn moved(moved: &MoveReport) -> String {
    let MoveReport { portal, moved_to } = moved;
    format!("{portal} has moved to {moved_to}: `b24relay portal forget {portal}` forgets it")
}

/// The dead letters of one sink, and the commands for them.
fn stored_dead_letters(dead_letters: &DeadLetterReport) -> String {
    let DeadLetterReport { sink, count, bytes, oldest_ms } = dead_letters;
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
