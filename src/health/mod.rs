//! The state and the grade of each source and each lane, computed only here, from the state file. Pure.
//!
//! `status`, the page, `/status`, `/readyz`, `/metrics`, `healthcheck` and the messages to systemd show the result.

mod lane;
mod sink; // the lanes of one sink together
mod source;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::Serialize;

pub use self::sink::SinkHealth;
use crate::store::{DeadLetterReport, LaneReport, MoveReport, Report, SourceReport};

/// How many gaps `status` and the page show one by one.
pub const GAPS_MAX: usize = 3;

/// From this time on until the portal deletes events that are not stored yet, a source needs attention, in seconds.
const EXPIRING_S: i64 = 6 * 3600;

/// For how long a loss is news.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// How healthy something is; the last variant is the worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Works.
    Healthy,
    /// Does not work, and recovers without help.
    Degraded,
    /// Does not work, and an operator must act.
    ActionRequired,
}

/// The state of everything in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// No daemon runs.
    Stopped,
    /// A stop was requested.
    Stopping,
    /// An operator must act.
    ActionRequired,
    /// Some source was not tried yet.
    Starting,
    /// There is an error that recovers without help.
    Degraded,
    /// There is no error.
    Healthy,
}

impl Condition {
    /// The word, as `status` and the page show it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "not running",
            Self::Stopping => "stopping",
            Self::ActionRequired => "action required",
            Self::Starting => "starting",
            Self::Degraded => "degraded: retrying",
            Self::Healthy => "healthy",
        }
    }
}

/// The state of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Its polls are answered.
    Polling,
    /// The running daemon has not had an answer for it yet.
    Starting,
    /// Its next poll should have been answered by now.
    Overdue,
    /// Its last poll failed, and it retries.
    Retrying,
    /// It does not poll, because it waits for a sink.
    Blocked,
    /// Its portal refuses it, or it cannot be opened.
    Refused,
    /// No daemon runs.
    Stopped,
    /// It is no longer configured.
    Removed,
}

/// The state of a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// Its source polls, and the sink accepts events.
    Flowing,
    /// Its source does not poll, and the sink accepts the remaining events.
    Delivering,
    /// Its source does not poll, and no events remain.
    Idle,
    /// No events remain, and its source is blocked by another sink.
    Waiting,
    /// The sink failed, and the lane retries.
    Retrying,
    /// The sink failed, and an operator must act.
    Held,
    /// Nothing is delivered until an operator resumes it.
    Paused,
    /// The daemon is stopping, and attempts are in flight.
    Draining,
    /// Its source is starting.
    Starting,
    /// No daemon runs.
    Stopped,
    /// Its source or its sink is no longer configured.
    Removed,
}

impl LaneState {
    /// All states.
    pub const ALL: [Self; 11] = [
        Self::Flowing,
        Self::Delivering,
        Self::Idle,
        Self::Waiting,
        Self::Retrying,
        Self::Held,
        Self::Paused,
        Self::Draining,
        Self::Starting,
        Self::Stopped,
        Self::Removed,
    ];

    /// Its name in JSON and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Flowing => "flowing",
            Self::Delivering => "delivering",
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Paused => "paused",
            Self::Draining => "draining",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
        }
    }
}

/// One source: its record, and its state.
#[derive(Debug, Serialize)]
pub struct SourceHealth {
    /// Its record in the state file.
    #[serde(flatten)]
    pub report: SourceReport,
    /// Its state.
    pub state: SourceState,
    /// Its grade.
    pub grade: Grade,
    /// The state in two or three words, such as `` blocked by `crm` ``.
    pub label: String,
    /// The sink that it waits for, if that sink is configured.
    pub blocked_by: Option<String>,
    /// The error and the hint; empty if there is no error.
    pub trouble: String,
}

impl SourceHealth {
    /// Whether the portal will soon delete events that are not stored yet, or already does.
    pub fn is_expiring(&self) -> bool {
        self.report.retention_left_s.is_some_and(|left_s| left_s < EXPIRING_S)
    }

    /// Whether it needs no attention.
    pub fn is_well(&self) -> bool {
        self.grade == Grade::Healthy && !self.is_expiring()
    }
}

/// One lane: its record, and its state.
#[derive(Debug, Serialize)]
pub struct LaneHealth {
    /// Its record in the state file.
    #[serde(flatten)]
    pub report: LaneReport,
    /// Its state.
    pub state: LaneState,
    /// Its grade.
    pub grade: Grade,
    /// The state in a few words, such as `idle: source refused`.
    pub label: String,
}

/// The health of everything at one moment.
///
/// A source whose polls are not answered is never shown as healthy, and neither are its lanes.
#[derive(Debug, Serialize)]
pub struct Health {
    /// The worst grade.
    pub grade: Grade,
    /// When this was computed, in Unix milliseconds.
    pub at_ms: i64,
    /// When the daemon last wrote any of it, in Unix milliseconds.
    pub noted_ms: Option<i64>,
    /// See [`Report::holder`].
    pub holder: Option<String>,
    /// See [`Report::holder_since_ms`].
    pub holder_since_ms: Option<i64>,
    /// The error, if the state file cannot be written. Then nothing is delivered.
    pub trouble: Option<String>,
    /// The sources by name.
    pub sources: Vec<SourceHealth>,
    /// The lanes by source and sink.
    pub lanes: Vec<LaneHealth>,
    /// The dead letters by sink.
    pub dead_letters: Vec<DeadLetterReport>,
    /// The portals that have moved.
    pub moves: Vec<MoveReport>,
}

/// A problem, described for the operator.
#[derive(PartialEq, Eq, Debug)]
pub struct Problem {
    /// Its severity.
    pub grade: Grade,
    /// The source that it concerns, if any.
    pub source: Option<String>,
    /// The sink that it concerns, if any.
    pub sink: Option<String>,
    /// The problem in a sentence.
    pub text: String,
}

/// The command that ends a problem or that says more about it: the one that its text names, or a check.
pub fn command_for(problem: &str) -> &str {
    command_in(problem).unwrap_or("b24relay check")
}

/// The first of our commands that `text` quotes. A foreign text has no backticks; even so, only plain words are
/// accepted, because an operator copies them into a shell.
fn command_in(text: &str) -> Option<&str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || " ./_-=:".contains(letter);
    let mut quoted = text.split('`').skip(1).step_by(2);
    quoted.find(|part| part.starts_with("b24relay ") && part.chars().all(is_plain))
}

impl Health {
    /// The health that `report` shows at `now_ms`.
    pub fn of(report: Report, now_ms: i64) -> Self {
        let sources: Vec<SourceHealth> =
            report.sources.iter().map(|source| source::health(source, &report, now_ms)).collect();
        let by_name: HashMap<&str, &SourceHealth> =
            sources.iter().map(|source| (source.report.name.as_str(), source)).collect();
        let lanes: Vec<LaneHealth> = report
            .lanes
            .iter()
            .map(|lane| lane::health(lane, by_name.get(lane.source.as_str()).copied(), &report, now_ms))
            .collect();
        let state = report.trouble.as_ref().map(|_| Grade::ActionRequired);
        let grades = sources.iter().map(|source| source.grade).chain(lanes.iter().map(|lane| lane.grade));
        Self {
            grade: grades.chain(state).max().unwrap_or(Grade::Healthy),
            at_ms: now_ms,
            noted_ms: noted_ms(&report),
            holder: report.holder,
            holder_since_ms: report.holder_since_ms,
            trouble: report.trouble,
            sources,
            lanes,
            dead_letters: report.dead_letters,
            moves: report.moves,
        }
    }

    /// Marks as removed each source and lane for which `is_configured` is false. The sink is `None` in a question about
    /// the source itself.
    pub fn mark_removed(&mut self, is_configured: impl Fn(&str, Option<&str>) -> bool) {
        let removed = |source: &&mut SourceHealth| !is_configured(&source.report.name, None);
        self.sources.iter_mut().filter(removed).for_each(source::mark_removed);
        let removed = |lane: &&mut LaneHealth| !is_configured(&lane.report.source, Some(&lane.report.sink));
        self.lanes.iter_mut().filter(removed).for_each(lane::mark_removed);
        let state = self.trouble.as_ref().map(|_| Grade::ActionRequired);
        let grades = self.sources.iter().map(|source| source.grade);
        let grades = grades.chain(self.lanes.iter().map(|lane| lane.grade));
        self.grade = grades.chain(state).max().unwrap_or(Grade::Healthy);
    }

    /// The state in a word, as the state file shows it. The process itself knows more about its start and its stop.
    pub fn condition(&self) -> Condition {
        let is_starting = self.sources.iter().any(|source| source.state == SourceState::Starting);
        if self.holder.is_none() {
            Condition::Stopped
        } else if self.lanes.iter().any(|lane| lane.state == LaneState::Draining) {
            Condition::Stopping
        } else if self.grade == Grade::ActionRequired {
            Condition::ActionRequired
        } else if is_starting {
            Condition::Starting
        } else if self.grade == Grade::Healthy {
            Condition::Healthy
        } else {
            Condition::Degraded
        }
    }

    /// How many sources lose events or soon will, or have lost some within a day.
    pub fn at_risk(&self) -> usize {
        let is_recent = |ms: i64| ms > self.at_ms.saturating_sub(DAY_MS);
        let is_at_risk = |source: &&SourceHealth| {
            let SourceReport { gaps, stolen_ms, skew_ms, .. } = &source.report;
            let mut lost = gaps.iter().map(|gap| gap.to_ms.saturating_sub(*skew_ms)).chain(*stolen_ms);
            source.is_expiring() || lost.any(is_recent)
        };
        self.sources.iter().filter(is_at_risk).count()
    }

    /// The sinks, each summed over its sources, the worst first.
    pub fn sinks(&self) -> Vec<SinkHealth<'_>> {
        sink::sinks(self)
    }

    /// The sources, the worst first, and those alike by the time until they lose events.
    pub fn sources_by_severity(&self) -> Vec<&SourceHealth> {
        let mut sources: Vec<&SourceHealth> = self.sources.iter().collect();
        let urgency = |source: &SourceHealth| {
            let left_s = source.report.retention_left_s.filter(|_| source.is_expiring());
            left_s.unwrap_or(i64::MAX)
        };
        sources.sort_by_key(|source| (std::cmp::Reverse(source.grade), urgency(source)));
        sources
    }

    /// The problems, most severe first. A problem of a source is not repeated for its lanes.
    pub fn problems(&self) -> Vec<Problem> {
        let state = self.trouble.iter().map(|reason| Problem {
            grade: Grade::ActionRequired,
            source: None,
            sink: None,
            text: format!("nothing goes on until the state can be written: {reason}"),
        });
        let sources = self.sources.iter().filter_map(source::problem);
        let lanes = self.lanes.iter().filter_map(|lane| lane::problem(lane, self.at_ms));
        let mut problems: Vec<Problem> = state.chain(sources).chain(lanes).collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.grade));
        problems
    }
}

/// The latest time stamp in `report`.
fn noted_ms(report: &Report) -> Option<i64> {
    let sources = report.sources.iter().flat_map(|source| [source.polled_ms, source.note.noted_ms]);
    let lanes = report.lanes.iter().flat_map(|lane| [Some(lane.committed_ms), lane.since_ms]);
    sources.chain(lanes).flatten().max()
}
