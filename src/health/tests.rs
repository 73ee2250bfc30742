//! The states of sources and lanes in all cases.

use super::*;
use crate::store::{Activity, SourceNote};

const NOW_MS: i64 = 1_795_251_600_000;
const STARTED_MS: i64 = NOW_MS - 3_600_000;

fn source(noted_ms: i64, activity: Activity) -> SourceReport {
    SourceReport {
        name: "support".into(),
        user: None,
        identity: String::new(),
        polled_ms: Some(noted_ms),
        note: SourceNote { noted_ms: Some(noted_ms), activity },
        confirmed: 1,
        floor: 1,
        losses: 0,
        generation: 1,
        next: 1,
        covered_ms: None,
        skew_ms: 0,
        retention_left_s: None,
        stolen: 0,
        stolen_ms: None,
        gaps: Vec::new(),
        journal_events: 0,
        journal_bytes: 0,
    }
}

fn polling(polled_ago_ms: i64, pause_ms: i64) -> SourceReport {
    let polled_ms = NOW_MS - polled_ago_ms;
    source(polled_ms, Activity::Polling { due_ms: polled_ms + pause_ms })
}

fn refused() -> SourceReport {
    source(NOW_MS - 1000, Activity::Refused { trouble: "INVALID_CREDENTIALS".into() })
}

fn blocked(sink: Option<&str>) -> SourceReport {
    let trouble = "the journal is full".into();
    source(NOW_MS - 1000, Activity::Blocked { sink: sink.map(str::to_owned), trouble })
}

fn lane(sink: &str, activity: &str, pending: u64) -> LaneReport {
    LaneReport {
        source: "support".into(),
        sink: sink.into(),
        next: 1,
        committed_ms: NOW_MS,
        delivered: 0,
        filtered: 0,
        expired: 0,
        buried: 0,
        dead_letters: 0,
        pending,
        oldest_pending_ms: None,
        activity: activity.parse().unwrap(),
        since_ms: Some(NOW_MS - 60_000),
        next_ms: Some(NOW_MS + 5000),
        trouble: "answered 503".into(),
    }
}

fn report(source: SourceReport, lanes: Vec<LaneReport>) -> Report {
    Report {
        holder: Some("process 1".into()),
        holder_since_ms: Some(STARTED_MS),
        trouble: None,
        sources: vec![source],
        lanes,
        dead_letters: Vec::new(),
        moves: Vec::new(),
    }
}

fn health(source: SourceReport, lanes: Vec<LaneReport>) -> Health {
    Health::of(report(source, lanes), NOW_MS)
}

/// The labels of the source, of its lane `archive` without pending events, and of its lane `crm` in the state `crm`.
fn labels(source: SourceReport, crm: &str) -> [String; 3] {
    let health = health(source, vec![lane("archive", "flowing", 0), lane("crm", crm, 7)]);
    let [archive, crm] = &health.lanes[..] else { unreachable!() };
    assert!(
        health.sources[0].grade == Grade::Healthy || archive.grade != Grade::Healthy,
        "no lane is healthy whose source is not"
    );
    [&health.sources[0].label, &archive.label, &crm.label].map(Clone::clone)
}

#[test]
fn a_source_and_its_lanes_are_shown_as_they_are() {
    let retrying = source(NOW_MS, Activity::Retrying { trouble: "no answer".into() });
    for (source, crm, expected) in [
        (polling(9000, 20), "flowing", ["polling", "flowing", "flowing"]),
        (polling(9000, 20), "retrying", ["polling", "flowing", "retrying for 60 s"]),
        (polling(9000, 20), "draining", ["polling", "flowing", "draining"]),
        (retrying, "flowing", ["retrying", "idle: source retrying", "delivering: source retrying"]),
        (refused(), "flowing", ["refused", "idle: source refused", "delivering: source refused"]),
        (refused(), "retrying", ["refused", "idle: source refused", "retrying for 60 s"]),
        (blocked(Some("crm")), "retrying", ["blocked by crm", "waiting for crm", "retrying for 60 s"]),
        (
            blocked(None),
            "flowing",
            [
                "blocked by a removed sink",
                "waiting for a removed sink",
                "delivering: source blocked by a removed sink",
            ],
        ),
    ] {
        assert_eq!(labels(source, crm), expected);
    }
}

#[test]
fn a_source_is_overdue_when_its_next_poll_should_have_been_answered() {
    let label = |polled_ago_ms, pause_ms| labels(polling(polled_ago_ms, pause_ms), "flowing");
    assert_eq!(label(20_000, 20)[0], "polling");
    assert_eq!(label(20_001, 20), ["overdue", "idle: source overdue", "delivering: source overdue"]);
    // A source with a long poll interval may be silent for longer.
    assert_eq!(label(35_000, 30_000)[0], "polling");
    assert_eq!(label(40_001, 30_000)[0], "overdue");
    let health = health(polling(35_000, 5000), Vec::new());
    assert_eq!(health.problems()[0].text, "source `support` is overdue: no answer to a poll for 35 s");
}

#[test]
fn what_another_run_has_noted_is_not_shown_as_what_this_one_does() {
    let mut before = refused();
    before.note.noted_ms = Some(STARTED_MS - 1);
    let mut left = lane("crm", "held", 7);
    left.since_ms = Some(STARTED_MS - 1);
    let starting = health(before, vec![left.clone()]);
    assert_eq!(
        (starting.sources[0].state, starting.lanes[0].state),
        (SourceState::Starting, LaneState::Starting)
    );
    assert_eq!(starting.problems(), []);
    // Nothing has updated the lanes of a source that cannot be opened.
    assert_eq!(health(refused(), vec![left.clone()]).lanes[0].state, LaneState::Delivering);
    // Only an operator ends a pause.
    left.activity = "paused".parse().unwrap();
    assert_eq!(health(refused(), vec![left]).lanes[0].state, LaneState::Paused);
}

#[test]
fn a_blocked_source_is_as_bad_as_the_sink_that_blocks_it() {
    let grade = |crm: &str| health(blocked(Some("crm")), vec![lane("crm", crm, 7)]).sources[0].grade;
    assert_eq!(
        ["retrying", "held", "paused"].map(grade),
        [Grade::Degraded, Grade::ActionRequired, Grade::ActionRequired]
    );
    assert_eq!(health(blocked(None), Vec::new()).sources[0].grade, Grade::ActionRequired);
}

#[test]
fn no_source_polls_while_the_state_file_takes_nothing() {
    let trouble = Some("the disk is full".into());
    let health = Health::of(Report { trouble, ..report(polling(1000, 20), Vec::new()) }, NOW_MS);
    assert_eq!((health.sources[0].state, health.sources[0].grade), (SourceState::Retrying, Grade::Degraded));
}

#[test]
fn without_a_daemon_everything_is_stopped_but_what_is_paused() {
    let report = Report {
        holder: None,
        holder_since_ms: None,
        trouble: None,
        sources: vec![polling(1000, 20)],
        lanes: vec![lane("archive", "flowing", 0), lane("crm", "paused", 1)],
        dead_letters: Vec::new(),
        moves: Vec::new(),
    };
    let health = Health::of(report, NOW_MS);
    assert_eq!(health.sources[0].label, "stopped");
    assert_eq!([health.lanes[0].state, health.lanes[1].state], [LaneState::Stopped, LaneState::Paused]);
}

#[test]
fn what_is_not_configured_is_no_trouble_but_for_the_events_that_are_kept_for_it() {
    let lanes = vec![lane("archive", "flowing", 0), lane("old", "held", 3), lane("gone", "flowing", 0)];
    let mut health = health(polling(1000, 20), lanes);
    health.mark_removed(|_, sink| sink.is_none_or(|sink| sink == "archive"));
    assert_eq!((health.sources[0].label.as_str(), health.grade), ("polling", Grade::ActionRequired));
    let labels: Vec<&str> = health.lanes.iter().map(|lane| lane.label.as_str()).collect();
    assert_eq!(labels, ["flowing", "not configured", "not configured"]);
    let problems = health.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].text.contains("the journal keeps 3 events for it"), "{}", problems[0].text);
    health.mark_removed(|_, _| false);
    assert_eq!(health.sources[0].label, "not configured");
}

#[test]
fn the_worst_comes_first() {
    let lanes = vec![lane("a", "retrying", 1), lane("b", "held", 1)];
    let problems = health(polling(1000, 20), lanes).problems();
    let texts: Vec<&str> = problems.iter().map(|problem| problem.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "sink `b` for `support` is held since 2026-11-21T08:59:00Z, next attempt in 5 s: answered 503",
            "sink `a` for `support` is retrying for 60 s, next attempt in 5 s: answered 503",
        ]
    );
}
