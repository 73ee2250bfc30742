//! Which states count as an illness, which as a note, and which as healthy.

use std::time::Duration;

use super::judgement::{Expected, Finding, Judgement, Kind};
use super::{Verdict, told};
use crate::config::{self, Config};
use crate::health::Health;
use crate::store::{Activity, LaneReport, Report, SourceNote, SourceReport};

const NOW_MS: i64 = 1_795_251_600_000;
const MINUTE_MS: i64 = 60_000;

/// A report of a daemon that has run for an hour.
fn report(sources: Vec<SourceReport>, lanes: Vec<LaneReport>) -> Report {
    Report {
        trouble: None,
        holder: Some("process 1".into()),
        holder_since_ms: Some(NOW_MS - 60 * MINUTE_MS),
        sources,
        lanes,
        dead_letters: Vec::new(),
        moves: Vec::new(),
    }
}

fn source(name: &str, polled_minutes_ago: i64) -> SourceReport {
    let polled_ms = NOW_MS - polled_minutes_ago * MINUTE_MS;
    SourceReport {
        name: name.into(),
        user: None,
        identity: String::new(),
        polled_ms: Some(polled_ms),
        note: SourceNote { noted_ms: Some(polled_ms), activity: Activity::Polling { due_ms: NOW_MS } },
        confirmed: 1,
        losses: 0,
        generation: 1,
        next: 1,
        floor: 1,
        covered_ms: None,
        skew_ms: 0,
        retention_left_s: Some(86_000),
        stolen: 0,
        stolen_ms: None,
        gaps: Vec::new(),
        journal_events: 0,
        journal_bytes: 0,
    }
}

fn lane(source: &str, sink: &str, state: &str, committed_minutes_ago: i64) -> LaneReport {
    LaneReport {
        source: source.into(),
        sink: sink.into(),
        next: 1,
        committed_ms: NOW_MS - committed_minutes_ago * MINUTE_MS,
        delivered: 0,
        filtered: 0,
        expired: 0,
        buried: 0,
        dead_letters: 0,
        pending: 0,
        oldest_pending_ms: None,
        activity: state.parse().unwrap(),
        since_ms: None,
        next_ms: Some(NOW_MS + MINUTE_MS),
        trouble: if state == "flowing" { String::new() } else { "answered 503".into() },
    }
}

fn config(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b24relay.toml");
    std::fs::write(&path, format!("state = \"b24relay.db\"\n{text}")).unwrap();
    let overrides = config::Overrides { config: Some(path), ..config::Overrides::default() };
    config::load(&overrides).unwrap().config
}

/// A configuration with the sources `support` and `sales` and the sink `crm`.
fn two_sources() -> Config {
    config(
        "[sources.support]\nwebhook_url = \"https://acme.bitrix24.com/rest/1/abc123/\"\n\
         [sources.sales]\nwebhook_url = \"https://acme.bitrix24.com/rest/2/abc123/\"\npoll.idle_max = \"5m\"\n\
         [sinks.crm]\ntype = \"file\"\npath = \"events.jsonl\"",
    )
}

fn findings(report: &Report, expected: &Expected) -> Vec<Finding> {
    Judgement { health: &Health::of(report.clone(), NOW_MS), expected }.findings()
}

/// The findings without a configuration and with the default bound, illnesses in upper case.
fn kinds(report: &Report) -> Vec<String> {
    kinds_of(&findings(report, &Expected::recorded(None)))
}

fn kinds_of(findings: &[Finding]) -> Vec<String> {
    let kind = |finding: &Finding| {
        let kind = format!("{:?}", finding.kind);
        if finding.is_ill { kind.to_uppercase() } else { kind }
    };
    findings.iter().map(kind).collect()
}

#[test]
fn a_silence_that_nothing_explains_is_an_illness() {
    let silent =
        |minutes| report(vec![source("support", minutes)], vec![lane("support", "crm", "flowing", 59)]);
    assert_eq!(kinds(&silent(5)), [""; 0]);
    assert_eq!(kinds(&silent(6)), ["STALLED"]);
    let expected = Expected::recorded(Some(Duration::from_secs(600)));
    assert_eq!(findings(&silent(10), &expected), []);
    let found = findings(&silent(11), &expected);
    assert_eq!(found[0].text, "`support` was last polled 11 min ago, and nothing tells why");
}

#[test]
fn a_daemon_that_has_just_started_owes_no_poll_yet() {
    let mut report = report(vec![source("support", 600)], Vec::new());
    report.holder_since_ms = Some(NOW_MS - 4 * MINUTE_MS);
    assert_eq!(kinds(&report), [""; 0]);
    report.holder_since_ms = Some(NOW_MS - 6 * MINUTE_MS);
    assert_eq!(kinds(&report), ["STALLED"]);
    // If the start time is unknown, only the time of the last poll counts.
    report.holder_since_ms = None;
    assert_eq!(kinds(&report), ["STALLED"]);
    report.sources[0].polled_ms = None;
    assert_eq!(kinds(&report), ["STALLED"]);
}

/// `source` with another recorded activity.
fn noting(source: SourceReport, activity: Activity) -> SourceReport {
    SourceReport { note: SourceNote { noted_ms: Some(NOW_MS - MINUTE_MS), activity }, ..source }
}

#[test]
fn a_sink_in_trouble_is_a_note_and_explains_a_silence_only_when_it_blocks_the_source() {
    for state in ["retrying", "held", "paused"] {
        let lanes = || vec![lane("support", "crm", state, 30)];
        assert_eq!(kinds(&report(vec![source("support", 1)], lanes())), ["Sink"], "{state}");
        assert_eq!(kinds(&report(vec![source("support", 30)], lanes())), ["STALLED", "Sink"], "{state}");
        let blocked = Activity::Blocked { sink: Some("crm".into()), trouble: "the journal is full".into() };
        let blocked = noting(source("support", 30), blocked);
        assert_eq!(kinds(&report(vec![blocked], lanes())), ["Source", "Sink"], "{state}");
    }
}

#[test]
fn a_portal_in_trouble_is_a_note() {
    let trouble = "the portal answered\u{1b} 503".into();
    let report = report(vec![noting(source("support", 30), Activity::Retrying { trouble })], Vec::new());
    assert_eq!(kinds(&report), ["Source"]);
    let text = "source `support` is retrying: the portal answered  503";
    assert_eq!(findings(&report, &Expected::recorded(None))[0].text, text);
}

#[test]
fn a_source_that_is_overdue_is_a_note_until_it_is_an_illness() {
    let overdue = |minutes: i64| {
        let polled_ms = NOW_MS - minutes * MINUTE_MS;
        let note =
            SourceNote { noted_ms: Some(polled_ms), activity: Activity::Polling { due_ms: polled_ms } };
        report(vec![SourceReport { note, ..source("support", minutes) }], Vec::new())
    };
    assert_eq!(kinds(&overdue(1)), ["Source"]);
    assert_eq!(kinds(&overdue(6)), ["STALLED"]);
}

#[test]
fn the_end_of_retention_is_a_note() {
    let left = |left_s| {
        let mut report = report(vec![source("support", 0)], Vec::new());
        report.sources[0].retention_left_s = Some(left_s);
        report
    };
    assert_eq!(kinds(&left(6 * 3600)), [""; 0]);
    assert_eq!(kinds(&left(6 * 3600 - 1)), ["Retention"]);
    let text = |left_s| findings(&left(left_s), &Expected::recorded(None)).remove(0).text;
    assert_eq!(text(-5), "`support`: the portal has begun to forget what is not in safety");
    assert_eq!(text(7200), "`support`: the portal forgets what is not in safety in 2 h");
}

#[test]
fn what_is_no_longer_configured_is_nothing_with_a_configuration_and_a_note_without_one() {
    let mut lanes = vec![lane("support", "crm", "flowing", 1), lane("support", "old", "held", 1)];
    lanes.push(lane("gone", "crm", "held", 500));
    let mut report = report(vec![source("support", 1), source("sales", 1), source("gone", 500)], lanes);
    report.sources[2].retention_left_s = None;
    let expected = Expected::configured(None, &two_sources());
    assert_eq!(findings(&report, &expected), []);
    report.lanes.truncate(1);
    assert_eq!(kinds(&report), ["Unknown"]);
    // If no source is polled, the configuration is not the reason.
    report.sources[0].polled_ms = report.sources[2].polled_ms;
    report.sources[1].polled_ms = report.sources[2].polled_ms;
    report.lanes.clear();
    assert_eq!(kinds(&report), ["STALLED", "STALLED", "STALLED"]);
}

#[test]
fn a_source_that_the_daemon_has_no_word_of_is_a_note_unless_it_has_none_of_any() {
    let expected = Expected::configured(None, &two_sources());
    let mut report = report(vec![source("support", 1)], Vec::new());
    let found = findings(&report, &expected);
    assert_eq!((kinds_of(&found), found[0].source.as_deref()), (vec!["Unknown".to_owned()], Some("sales")));
    report.sources.clear();
    assert_eq!(kinds_of(&findings(&report, &expected)), ["STALLED", "STALLED"]);
    report.holder_since_ms = Some(NOW_MS - MINUTE_MS);
    assert_eq!(findings(&report, &expected), []);
}

#[test]
fn a_source_may_be_as_quiet_as_it_is_configured() {
    // `sales` is polled every five minutes.
    let report = report(vec![source("support", 1), source("sales", 6)], Vec::new());
    assert_eq!(kinds(&report), ["STALLED"]);
    let config = two_sources();
    assert_eq!(findings(&report, &Expected::configured(None, &config)), []);
    let said = Expected::configured(Some(Duration::from_secs(300)), &config);
    assert_eq!(kinds_of(&findings(&report, &said)), ["STALLED"], "what was said outright counts");
}

#[test]
fn the_line_has_the_illnesses_first_and_is_of_bounded_length() {
    let troubled = |name: &str| noting(source(name, 1), Activity::Refused { trouble: "no".into() });
    let mut sources: Vec<SourceReport> = ["a", "b", "c", "d", "e", "f"].map(troubled).into();
    sources.push(source("z", 30));
    let findings = findings(&report(sources, Vec::new()), &Expected::recorded(None));
    assert_eq!(findings[0].kind, Kind::Stalled);
    let verdict = Verdict { daemon: None, praise: String::new(), findings };
    assert_eq!(
        told(false, &verdict),
        "unhealthy: `z` was last polled 30 min ago, and nothing tells why; source `a` is refused: no; \
         source `b` is refused: no; source `c` is refused: no; source `d` is refused: no; and 2 more (--json has them)"
    );
}
