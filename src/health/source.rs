//! The state of a source.

use super::{Grade, Problem, SourceHealth, SourceState};
use crate::human::span;
use crate::store::{Activity, LaneActivity, Report, SourceReport};

/// A source whose polls are answered writes its note at this interval.
const NOTE_INTERVAL_MS: i64 = 10_000;

/// How late its next note may be, because a request takes time.
const LATE_MAX_MS: i64 = 10_000;

/// The health of `source`.
pub(super) fn health(source: &SourceReport, report: &Report, now_ms: i64) -> SourceHealth {
    let (state, blocked_by, trouble) = state(source, report, now_ms);
    SourceHealth {
        state,
        grade: grade(state, blocked_by.as_deref(), report),
        label: label(state, blocked_by.as_deref()),
        blocked_by,
        trouble,
        report: source.clone(),
    }
}

/// The state, the sink that the source waits for, and the error.
fn state(source: &SourceReport, report: &Report, now_ms: i64) -> (SourceState, Option<String>, String) {
    let (note, trouble) = (&source.note, trouble(source));
    if report.holder.is_none() {
        return (SourceState::Stopped, None, trouble);
    }
    // A note from before the daemon's start belongs to another run.
    if note.noted_ms.is_some_and(|noted_ms| Some(noted_ms) < report.holder_since_ms) {
        return (SourceState::Starting, None, String::new());
    }
    match &note.activity {
        Activity::Retrying { .. } => (SourceState::Retrying, None, trouble),
        Activity::Refused { .. } => (SourceState::Refused, None, trouble),
        Activity::Blocked { sink, .. } => (SourceState::Blocked, sink.clone(), trouble),
        Activity::Polling { due_ms } => match source.polled_ms {
            Some(polled_ms) if Some(polled_ms) >= report.holder_since_ms => {
                let next_ms = polled_ms.saturating_add(NOTE_INTERVAL_MS).max(*due_ms);
                if now_ms <= next_ms.saturating_add(LATE_MAX_MS) {
                    // All sources have the same error, which is reported in full only once.
                    return match &report.trouble {
                        Some(_) => (SourceState::Retrying, None, "the state file takes nothing".to_owned()),
                        None => (SourceState::Polling, None, trouble),
                    };
                }
                let ago = span(now_ms.saturating_sub(polled_ms) / 1000);
                (SourceState::Overdue, None, format!("no answer to a poll for {ago}"))
            }
            _ => (SourceState::Starting, None, trouble),
        },
    }
}

/// The error in its note.
fn trouble(source: &SourceReport) -> String {
    match &source.note.activity {
        Activity::Polling { .. } => String::new(),
        Activity::Retrying { trouble }
        | Activity::Refused { trouble }
        | Activity::Blocked { trouble, .. } => trouble.clone(),
    }
}

fn grade(state: SourceState, blocked_by: Option<&str>, report: &Report) -> Grade {
    match state {
        SourceState::Polling => Grade::Healthy,
        SourceState::Starting | SourceState::Overdue | SourceState::Retrying | SourceState::Removed => {
            Grade::Degraded
        }
        SourceState::Refused | SourceState::Stopped => Grade::ActionRequired,
        // As severe as the state of the blocking sink. A sink that is no longer configured never accepts events.
        SourceState::Blocked => {
            let needs_operator = |sink: &str| {
                let mut lanes = report.lanes.iter().filter(|lane| lane.sink == sink);
                lanes.any(|lane| matches!(lane.activity, LaneActivity::Held | LaneActivity::Paused))
            };
            if blocked_by.is_none_or(needs_operator) { Grade::ActionRequired } else { Grade::Degraded }
        }
    }
}

fn label(state: SourceState, blocked_by: Option<&str>) -> String {
    match (state, blocked_by) {
        (SourceState::Polling, _) => "polling".to_owned(),
        (SourceState::Starting, _) => "starting".to_owned(),
        (SourceState::Overdue, _) => "overdue".to_owned(),
        (SourceState::Retrying, _) => "retrying".to_owned(),
        (SourceState::Blocked, Some(sink)) => format!("blocked by {sink}"),
        (SourceState::Blocked, None) => "blocked by a removed sink".to_owned(),
        (SourceState::Refused, _) => "refused".to_owned(),
        (SourceState::Stopped, _) => "stopped".to_owned(),
        (SourceState::Removed, _) => "not configured".to_owned(),
    }
}

/// Marks a source that is no longer configured. Its errors do not matter any more.
pub(super) fn mark_removed(source: &mut SourceHealth) {
    source.state = SourceState::Removed;
    source.grade = Grade::Degraded;
    source.label = label(SourceState::Removed, None);
    (source.blocked_by, source.trouble) = (None, String::new());
}

/// The problem of the source while a daemon runs.
pub(super) fn problem(source: &SourceHealth) -> Option<Problem> {
    let SourceHealth { report, state, grade, label, trouble, .. } = source;
    if matches!(
        state,
        SourceState::Polling | SourceState::Starting | SourceState::Stopped | SourceState::Removed
    ) {
        return None;
    }
    Some(Problem {
        grade: *grade,
        source: Some(report.name.clone()),
        sink: None,
        text: format!("source `{}` is {label}: {trouble}", report.name),
    })
}
