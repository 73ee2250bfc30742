//! The state of a lane.

use super::{Grade, LaneHealth, LaneState, Problem, SourceHealth, SourceState};
use crate::human::{span, time};
use crate::store::{LaneActivity, LaneReport, Report};

/// The health of `lane`, whose source is in the state of `source`.
pub(super) fn health(
    lane: &LaneReport,
    source: Option<&SourceHealth>,
    report: &Report,
    now_ms: i64,
) -> LaneHealth {
    let state = state(lane, source, report);
    LaneHealth { grade: grade(state), label: label(lane, state, source, now_ms), state, report: lane.clone() }
}

fn state(lane: &LaneReport, source: Option<&SourceHealth>, report: &Report) -> LaneState {
    let source_state = source.map_or(SourceState::Polling, |source| source.state);
    // Only an operator ends a pause, with or without a running daemon.
    if lane.activity == LaneActivity::Paused {
        return LaneState::Paused;
    }
    if report.holder.is_none() {
        return LaneState::Stopped;
    }
    // If this daemon has not opened the source, its lanes still have the state of an earlier run.
    let is_of_this_run = !matches!(source_state, SourceState::Starting | SourceState::Refused)
        || lane.since_ms >= report.holder_since_ms;
    match lane.activity {
        LaneActivity::Retrying if is_of_this_run => return LaneState::Retrying,
        LaneActivity::Held if is_of_this_run => return LaneState::Held,
        LaneActivity::Draining if is_of_this_run => return LaneState::Draining,
        _ => {}
    }
    match (source_state, lane.pending) {
        (SourceState::Starting, _) => LaneState::Starting,
        (SourceState::Polling, _) => LaneState::Flowing,
        (SourceState::Blocked, 0) => LaneState::Waiting,
        (SourceState::Removed, _) => LaneState::Removed,
        (_, 0) => LaneState::Idle,
        (_, 1..) => LaneState::Delivering,
    }
}

fn grade(state: LaneState) -> Grade {
    match state {
        LaneState::Flowing => Grade::Healthy,
        LaneState::Held | LaneState::Paused | LaneState::Stopped => Grade::ActionRequired,
        LaneState::Delivering
        | LaneState::Idle
        | LaneState::Waiting
        | LaneState::Retrying
        | LaneState::Draining
        | LaneState::Starting
        | LaneState::Removed => Grade::Degraded,
    }
}

fn label(lane: &LaneReport, state: LaneState, source: Option<&SourceHealth>, now_ms: i64) -> String {
    let word = state.word();
    let source_label = source.map_or_else(String::new, |source| source.label.clone());
    match (state, lane.since_ms) {
        (LaneState::Retrying, Some(since_ms)) => {
            format!("{word} for {}", span(now_ms.saturating_sub(since_ms) / 1000))
        }
        (LaneState::Held | LaneState::Paused, Some(since_ms)) => format!("{word} since {}", time(since_ms)),
        (LaneState::Waiting, _) => {
            let sink = source.and_then(|source| source.blocked_by.as_deref());
            format!("waiting for {}", sink.unwrap_or("a removed sink"))
        }
        (LaneState::Idle | LaneState::Delivering, _) => format!("{word}: source {source_label}"),
        _ => word.to_owned(),
    }
}

/// Marks a lane that is no longer configured: an operator must decide on its events in the journal.
pub(super) fn mark_removed(lane: &mut LaneHealth) {
    lane.state = LaneState::Removed;
    lane.grade = if lane.report.pending > 0 { Grade::ActionRequired } else { Grade::Degraded };
    "not configured".clone_into(&mut lane.label);
}

/// The lane's own problem, apart from those of its source.
pub(super) fn problem(lane: &LaneHealth, now_ms: i64) -> Option<Problem> {
    let LaneHealth { report, state, grade, label } = lane;
    if *state == LaneState::Removed && report.pending > 0 {
        return Some(left_behind(report));
    }
    if !matches!(state, LaneState::Retrying | LaneState::Held | LaneState::Paused) {
        return None;
    }
    let LaneReport { source, sink, trouble, next_ms, .. } = report;
    let next = next_ms.filter(|_| *state != LaneState::Paused).map_or_else(String::new, |next_ms| {
        format!(", next attempt in {}", span(next_ms.saturating_sub(now_ms) / 1000))
    });
    Some(Problem {
        grade: *grade,
        source: Some(source.clone()),
        sink: Some(sink.clone()),
        text: format!("sink `{sink}` for `{source}` is {label}{next}: {trouble}"),
    })
}

/// The problem of a lane that is no longer configured but still has events in the journal.
fn left_behind(report: &LaneReport) -> Problem {
    let LaneReport { source, sink, pending, .. } = report;
    let events = if *pending == 1 { "1 event".to_owned() } else { format!("{pending} events") };
    Problem {
        grade: Grade::ActionRequired,
        source: Some(source.clone()),
        sink: Some(sink.clone()),
        text: format!(
            "sink `{sink}` for `{source}` is not configured, and the journal keeps {events} for it: put it back, or \
             `b24relay run --forget {sink}`"
        ),
    }
}
