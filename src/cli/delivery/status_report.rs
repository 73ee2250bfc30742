//! The report of `status` for people: the state in a word, reasons and command, totals, sinks, sources.

use std::cmp::Reverse;
use std::path::Path;

use crate::cli::output::palette::{Hue, Palette};
use crate::cli::output::table::{Columns, Importance};
use crate::health::{Condition, GAPS_MAX, command_for};
use crate::health::{Grade, Health, LaneHealth, LaneState, SinkHealth, SourceHealth};
use crate::human::{ago, size, span};
use crate::relay::SKEW_MAX;
use crate::store::{DeadLetterReport, MoveReport, SourceReport};

/// How many rows a table has; with problems, a table of sources may have more.
const SHOWN_MAX: usize = 20;

/// How much is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) enum Extent {
    /// Only problems.
    Problems,
    /// The sums, and the sources that need attention, with a few healthy ones.
    Summary,
    /// All sources and all lanes.
    Everything,
}

/// The report for people: the same story as the page tells, in the same order.
pub(in crate::cli) fn shown(state: &Path, health: &Health, extent: Extent, palette: Palette) -> String {
    let view = View { health, extent, palette };
    if extent == Extent::Problems {
        return view.brief();
    }
    view.told(state)
}

struct View<'a> {
    health: &'a Health,
    extent: Extent,
    palette: Palette,
}

impl View<'_> {
    fn told(&self, state: &Path) -> String {
        let noted = self.health.noted_ms.map_or_else(|| "nothing yet".to_owned(), ago);
        let parts = [
            self.verdict(),
            format!("state   {}\n{}\nnoted   {noted}\n{}", state.display(), self.daemon(), self.totals()),
            self.sinks(),
            self.sources(),
            self.lanes(),
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
    }

    /// The state in a word, the reasons, and the command to continue with.
    fn verdict(&self) -> String {
        let condition = self.health.condition();
        let hue = match condition {
            Condition::Healthy => Hue::Green,
            Condition::Stopping | Condition::Starting | Condition::Degraded => Hue::Yellow,
            Condition::Stopped | Condition::ActionRequired => Hue::Red,
        };
        let mut lines = vec![self.palette.paint(hue, condition.word())];
        lines.extend(self.problems());
        let needs_command = matches!(condition, Condition::ActionRequired | Condition::Degraded);
        if let Some(problem) = self.health.problems().first().filter(|_| needs_command) {
            lines.push(format!("command {}", command_for(&problem.text)));
        }
        lines.join("\n")
    }

    fn totals(&self) -> String {
        let lanes = || self.health.lanes.iter().map(|lane| &lane.report);
        let [pending, delivered, rejected] = [0, 1, 2]
            .map(|index| lanes().map(|lane| [lane.pending, lane.delivered, lane.buried][index]).sum::<u64>());
        let oldest_ms = lanes().filter_map(|lane| lane.oldest_pending_ms).min();
        let oldest = oldest_ms.map_or_else(String::new, |ms| format!(", the oldest of {}", ago(ms)));
        let risk = match self.health.at_risk() {
            0 => String::new(),
            count => format!("; losing events, or soon: {}", counted(count as u64, "source")),
        };
        format!("totals  pending {pending}{oldest}; delivered {delivered}; rejected {rejected}{risk}")
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
        let all = self.health.sources_by_severity();
        let troubled = all.iter().filter(|source| !source.is_well()).count();
        let count = match self.extent {
            Extent::Everything => all.len(),
            Extent::Problems | Extent::Summary => troubled.max(SHOWN_MAX).min(all.len()),
        };
        let sources = &all[..count];
        let column = |cell: &dyn Fn(&SourceHealth) -> String| {
            sources.iter().map(|source| cell(source)).collect::<Vec<_>>()
        };
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
        folded(columns.aligned(), all.len() - count, "healthy source")
    }

    /// The sinks, summed over their sources.
    fn sinks(&self) -> String {
        let sinks = self.health.sinks();
        let column = |cell: &dyn Fn(&SinkHealth<'_>) -> String| sinks.iter().map(cell).collect::<Vec<_>>();
        let mut columns = Columns::default();
        columns.add("SINK", Importance::Needed, column(&|sink| sink.name.to_owned()));
        let state = |sink: &SinkHealth<'_>| {
            let label = self.label(sink.grade, &sink.worst.label);
            let is_alike = sink.lanes == sink.alike || sink.grade == Grade::Healthy;
            if is_alike { label } else { format!("{label} ({} of {})", sink.alike, sink.lanes) }
        };
        columns.add("STATE", Importance::Needed, column(&state));
        columns.add("PENDING", Importance::Needed, column(&|sink| sink.pending.to_string()));
        columns.add("DELIVERED", Importance::High, column(&|sink| sink.delivered.to_string()));
        if sinks.iter().any(|sink| sink.oldest_pending_ms.is_some()) {
            let oldest = |sink: &SinkHealth<'_>| sink.oldest_pending_ms.map_or_else(String::new, ago);
            columns.add("OLDEST", Importance::Middle, column(&oldest));
        }
        if sinks.iter().any(|sink| sink.dead_letters > 0) {
            columns.add("DEAD LETTERS", Importance::High, column(&|sink| sink.dead_letters.to_string()));
        }
        if sinks.iter().any(|sink| sink.expired > 0) {
            columns.add("EXPIRED", Importance::Middle, column(&|sink| sink.expired.to_string()));
        }
        columns.add("FILTERED", Importance::Middle, column(&|sink| sink.filtered.to_string()));
        columns.aligned()
    }

    /// The lanes that lack events or are in trouble, or all; none for a single source, whose lanes are the sinks.
    fn lanes(&self) -> String {
        let is_shown = |lane: &&LaneHealth| {
            self.extent == Extent::Everything || lane.grade != Grade::Healthy || lane.report.pending > 0
        };
        let mut lanes: Vec<&LaneHealth> = self.health.lanes.iter().filter(is_shown).collect();
        if lanes.is_empty() || (self.health.sources.len() < 2 && self.extent != Extent::Everything) {
            return String::new();
        }
        lanes.sort_by_key(|lane| Reverse((lane.grade, lane.report.pending)));
        let count = if self.extent == Extent::Everything { lanes.len() } else { lanes.len().min(SHOWN_MAX) };
        let (lanes, others) = lanes.split_at(count);
        let column =
            |cell: &dyn Fn(&LaneHealth) -> String| lanes.iter().map(|lane| cell(lane)).collect::<Vec<_>>();
        let mut columns = Columns::default();
        columns.add("SOURCE", Importance::Needed, column(&|lane| lane.report.source.clone()));
        columns.add("SINK", Importance::Needed, column(&|lane| lane.report.sink.clone()));
        columns.add("STATE", Importance::Needed, column(&|lane| self.label(lane.grade, &lane.label)));
        columns.add("PENDING", Importance::Needed, column(&|lane| lane.report.pending.to_string()));
        columns.add("DELIVERED", Importance::High, column(&|lane| lane.report.delivered.to_string()));
        columns.add("LAST COMMIT", Importance::Low, column(&|lane| ago(lane.report.committed_ms)));
        folded(columns.aligned(), others.len(), "row")
    }
}

/// A table, with a line about the rows that it does not have.
fn folded(table: String, count: usize, thing: &str) -> String {
    match count {
        0 => table,
        1 => format!("{table}\nand 1 more {thing} (--all shows it)"),
        _ => format!("{table}\nand {count} more {thing}s (--all shows them)"),
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
