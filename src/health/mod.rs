//! What each source and each lane does, and how well: computed here from what the state file says, and nowhere else.
//! `status`, the page, `/status`, `/readyz`, `/metrics`, `healthcheck` and the service manager show this.
//!
//! Pure. A source whose polls are not answered is never shown as healthy, nor is any of its lanes.

mod lane;
mod source;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::store::{GraveReport, LaneReport, MoveReport, Report, SourceReport};

/// How well something does, the worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should.
    Healthy,
    /// It does not, and recovers by itself.
    Degraded,
    /// It does not, and a person must act.
    ActionRequired,
}

/// What a source does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Its polls are answered.
    Polling,
    /// The running daemon has not had an answer for it yet.
    Starting,
    /// Its next poll should have been answered by now.
    Overdue,
    /// Its last poll failed, and it tries again.
    Retrying,
    /// It does not poll, because a sink is behind.
    Blocked,
    /// Its portal refuses it, or it cannot be opened.
    Refused,
    /// No daemon runs.
    Stopped,
    /// It is not in the configuration any more.
    Removed,
}

/// What a lane does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// Its source polls, and the sink takes what comes.
    Flowing,
    /// Its source does not poll, and the sink takes what is left.
    Delivering,
    /// Its source does not poll, and nothing is left.
    Idle,
    /// Nothing is left, and its source is blocked by another sink.
    Waiting,
    /// The sink failed, and is tried again.
    Retrying,
    /// The sink failed, and a person must act.
    Held,
    /// Nothing is delivered until a person resumes it.
    Paused,
    /// The daemon stops, and attempts are under way.
    Draining,
    /// Its source is starting.
    Starting,
    /// No daemon runs.
    Stopped,
    /// Its source or its sink is not in the configuration any more.
    Removed,
}

impl LaneState {
    /// All there are.
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

/// One source: what is recorded, and what that means.
#[derive(Debug, Serialize)]
pub struct SourceHealth {
    /// What is recorded.
    #[serde(flatten)]
    pub report: SourceReport,
    /// What it does.
    pub state: SourceState,
    /// How well.
    pub grade: Grade,
    /// The same in two or three words, such as `` blocked by `crm` ``.
    pub label: String,
    /// The sink that it waits for, if it waits for one that is configured.
    pub blocked_by: Option<String>,
    /// What is in the way, and what to do; empty when nothing is.
    pub trouble: String,
}

/// One lane: what is recorded, and what that means.
#[derive(Debug, Serialize)]
pub struct LaneHealth {
    /// What is recorded.
    #[serde(flatten)]
    pub report: LaneReport,
    /// What it does.
    pub state: LaneState,
    /// How well.
    pub grade: Grade,
    /// The same in a few words, such as `idle: source refused`.
    pub label: String,
}

/// All of it at one moment.
#[derive(Debug, Serialize)]
pub struct Health {
    /// The worst there is.
    pub grade: Grade,
    /// When this was computed, in Unix milliseconds.
    pub at_ms: i64,
    /// When the daemon wrote any of it last, in Unix milliseconds.
    pub noted_ms: Option<i64>,
    /// As [`Report::holder`].
    pub holder: Option<String>,
    /// As [`Report::holder_since_ms`].
    pub holder_since_ms: Option<i64>,
    /// Why nothing goes on: the state file does not take what must be in it.
    pub trouble: Option<String>,
    /// The sources by name.
    pub sources: Vec<SourceHealth>,
    /// The lanes by source and sink.
    pub lanes: Vec<LaneHealth>,
    /// The dead letters by sink.
    pub dead_letters: Vec<GraveReport>,
    /// The portals that were seen moving.
    pub moves: Vec<MoveReport>,
}

/// Something that is wrong, for a person.
#[derive(PartialEq, Eq, Debug)]
pub struct Problem {
    /// How bad it is.
    pub grade: Grade,
    /// The source, if it is of one.
    pub source: Option<String>,
    /// The sink, if it is of one.
    pub sink: Option<String>,
    /// In a sentence.
    pub text: String,
}

impl Health {
    /// That of `report` at `now_ms`.
    pub fn of(report: Report, now_ms: i64) -> Self {
        let sources: Vec<SourceHealth> =
            report.sources.iter().map(|source| source::health(source, &report, now_ms)).collect();
        let lanes: Vec<LaneHealth> = report
            .lanes
            .iter()
            .map(|lane| {
                let source = sources.iter().find(|source| source.report.name == lane.source);
                lane::health(lane, source, &report, now_ms)
            })
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

    /// Shows as removed what is not configured: `is_configured` is asked for each source, and for each source with each
    /// of its sinks.
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

    /// What is wrong, the worst first. What a lane only suffers from its source is not repeated.
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

/// The latest moment that anything in `report` speaks of.
fn noted_ms(report: &Report) -> Option<i64> {
    let sources = report.sources.iter().flat_map(|source| [source.polled_ms, source.note.noted_ms]);
    let lanes = report.lanes.iter().flat_map(|lane| [Some(lane.committed_ms), lane.since_ms]);
    sources.chain(lanes).flatten().max()
}
