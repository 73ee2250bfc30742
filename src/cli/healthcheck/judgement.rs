//! Whether a daemon does its work, from what it leaves in the state file. Pure.
//!
//! A source is ill when it has shown no sign of life for too long and nothing tells why: no poll of its was
//! answered, none of its lanes has committed, and neither its portal nor one of its sinks is known to be in
//! trouble. Such trouble is no illness of the daemon, and a restart would not help: it is told as a note.
//! A sink's trouble excuses only as long as the daemon goes on trying. Of a portal's trouble the file does not
//! say when it was last met, so a daemon that hangs in the middle of one is not found out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::super::spelling::{span, time};
use crate::config::Config;
use crate::foreign_text::plain;
use crate::store::{GraveReport, LaneReport, Report, SourceReport};

/// How long a source may show no sign of life, unless somebody says otherwise.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// How long an attempt may take, with the token it may need first: so long nothing is heard of a lane that tries.
const ATTEMPT_MAX: Duration = Duration::from_secs(600);

/// The portal's 24 hours are nearly over.
const RETENTION_LEFT_MIN_S: i64 = 6 * 3600;

/// What is looked at, and how much silence is borne.
pub struct Expected {
    silence_max: Option<Duration>,
    /// The configured sources with the least silence that each is allowed; `None` where there is no configuration.
    sources: Option<BTreeMap<String, Duration>>,
    sinks: Option<BTreeSet<String>>,
}

impl Expected {
    /// With no configuration: all that the state file has.
    pub fn recorded(silence_max: Option<Duration>) -> Self {
        Self { silence_max, sources: None, sinks: None }
    }

    /// What `config` has. A quiet source is polled so rarely as it says.
    pub fn configured(silence_max: Option<Duration>, config: &Config) -> Self {
        let sources = config.sources.iter().map(|source| {
            let rarely = source.poll.idle_max + 2 * source.poll.timeout + Duration::from_secs(60);
            (source.name.clone(), rarely)
        });
        let sinks = config.sinks.iter().map(|sink| sink.name.clone()).collect();
        Self { silence_max, sources: Some(sources.collect()), sinks: Some(sinks) }
    }

    fn has_source(&self, name: &str) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.contains_key(name))
    }

    fn has_sink(&self, name: &str) -> bool {
        self.sinks.as_ref().is_none_or(|sinks| sinks.contains(name))
    }

    fn silence_max(&self, source: &str) -> Duration {
        let rarely = self.sources.as_ref().and_then(|sources| sources.get(source));
        self.silence_max.unwrap_or_else(|| SILENCE_MAX.max(rarely.copied().unwrap_or_default()))
    }
}

/// What a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nobody runs on the state file.
    NotRunning,
    /// The state file cannot be read.
    Unreadable,
    /// No sign of life, and no reason for it.
    Stalled,
    /// Is it configured, and does the daemon know?
    Unknown,
    /// Something keeps a source from polling.
    Source,
    /// Something keeps a sink from taking events.
    Sink,
    /// The portal will soon forget what is not in safety.
    Retention,
    /// The state file does not take what must be in it.
    State,
    /// Events wait for a person's decision.
    DeadLetters,
    /// It cannot be used at the next start.
    Configuration,
}

/// One thing that is not as it should be.
#[derive(PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The daemon does not do its work; otherwise a note.
    pub is_ill: bool,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// For people.
    pub text: String,
}

impl Finding {
    /// The daemon does not do its work.
    pub fn ill(kind: Kind, text: &str) -> Self {
        Self { is_ill: true, kind, source: None, sink: None, text: plain(text) }
    }

    /// It does, but this is not as it should be.
    pub fn note(kind: Kind, text: &str) -> Self {
        Self { is_ill: false, ..Self::ill(kind, text) }
    }

    fn of(self, source: &str) -> Self {
        Self { source: Some(source.to_owned()), ..self }
    }
}

/// A report with what is expected of it, at one moment.
pub struct Judgement<'a> {
    pub report: &'a Report,
    pub expected: &'a Expected,
    pub now_ms: i64,
}

impl Judgement<'_> {
    /// All that is not as it should be, the illnesses first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.sources().flat_map(|source| self.of_source(source)).collect();
        findings.extend(self.missing());
        findings.extend(self.report.trouble.iter().map(|trouble| {
            Finding::ill(Kind::State, &format!("nothing goes on until the state can be written: {trouble}"))
        }));
        findings.extend(self.lanes().filter_map(of_lane));
        findings.extend(self.report.dead_letters.iter().map(of_grave));
        findings.sort_by_key(|finding| !finding.is_ill);
        findings
    }

    /// The sources that are looked at.
    pub fn sources(&self) -> impl Iterator<Item = &SourceReport> {
        self.report.sources.iter().filter(|source| self.expected.has_source(&source.name))
    }

    /// How long the source has been silent that has been so longest.
    pub fn longest_silence_s(&self) -> Option<i64> {
        self.sources().filter_map(|source| self.silence_ms(source)).max().map(|ms| ms.max(0) / 1000)
    }

    /// Whether there are sources that the running daemon has not polled so far.
    pub fn is_starting(&self) -> bool {
        let is_polled = |source: &SourceReport| source.polled_ms >= self.report.holder_since_ms;
        !self.sources().all(is_polled)
    }

    fn lanes(&self) -> impl Iterator<Item = &LaneReport> {
        let is_looked_at =
            |lane: &&LaneReport| self.expected.has_source(&lane.source) && self.expected.has_sink(&lane.sink);
        self.report.lanes.iter().filter(is_looked_at)
    }

    fn of_source(&self, source: &SourceReport) -> Vec<Finding> {
        let SourceReport { name, trouble, retention_left_s, .. } = source;
        let mut findings = Vec::from_iter(self.stall(source));
        if !trouble.is_empty() {
            findings.push(Finding::note(Kind::Source, &format!("`{name}`: {trouble}")));
        }
        if let Some(left_s) = retention_left_s.filter(|left_s| *left_s < RETENTION_LEFT_MIN_S) {
            let text = match left_s {
                ..=0 => format!("`{name}`: the portal has begun to forget what is not in safety"),
                _ => format!("`{name}`: the portal forgets what is not in safety in {}", span(left_s)),
            };
            findings.push(Finding::note(Kind::Retention, &text));
        }
        findings.into_iter().map(|finding| finding.of(name)).collect()
    }

    /// A silence that nothing explains.
    fn stall(&self, source: &SourceReport) -> Option<Finding> {
        let silence_ms = self.silence_ms(source);
        if silence_ms.is_some_and(|ms| !self.is_too_long(&source.name, ms)) || self.is_excused(source) {
            return None;
        }
        let name = &source.name;
        if self.is_left_out(source) {
            let text =
                format!("`{name}` was not polled since the daemon's start: is it no longer configured?");
            return Some(Finding::note(Kind::Unknown, &text));
        }
        let polled = match source.polled_ms {
            Some(ms) => format!("was last polled {} ago", span(self.now_ms.saturating_sub(ms) / 1000)),
            None => "has never been polled".to_owned(),
        };
        Some(Finding::ill(Kind::Stalled, &format!("`{name}` {polled}, and nothing tells why")))
    }

    /// Configured sources that the daemon has left no word of.
    fn missing(&self) -> Vec<Finding> {
        let Some(started_ms) = self.report.holder_since_ms else { return Vec::new() };
        let configured = self.expected.sources.iter().flatten().map(|(name, _)| name);
        let is_recorded = |name: &str| self.report.sources.iter().any(|source| source.name == name);
        let missing = configured.filter(|name| {
            !is_recorded(name) && self.is_too_long(name, self.now_ms.saturating_sub(started_ms))
        });
        let finding = |name: &String| {
            if self.is_any_polled() {
                let text = format!(
                    "`{name}`: the running daemon knows nothing of it: was it added since the start?"
                );
                return Finding::note(Kind::Unknown, &text).of(name);
            }
            Finding::ill(Kind::Stalled, &format!("`{name}` has never been polled")).of(name)
        };
        missing.map(finding).collect()
    }

    fn is_too_long(&self, source: &str, silence_ms: i64) -> bool {
        u128::try_from(silence_ms).is_ok_and(|ms| ms > self.expected.silence_max(source).as_millis())
    }

    /// Since its last sign of life; a daemon that has just started owes none yet.
    fn silence_ms(&self, source: &SourceReport) -> Option<i64> {
        let sign_ms = self.sign_ms(source).max(self.report.holder_since_ms);
        sign_ms.map(|ms| self.now_ms.saturating_sub(ms))
    }

    /// An answered poll; or a commit, for in direct mode nothing is polled until a batch is settled.
    fn sign_ms(&self, source: &SourceReport) -> Option<i64> {
        let lanes = self.report.lanes.iter().filter(|lane| lane.source == source.name);
        lanes.map(|lane| Some(lane.committed_ms)).max().flatten().max(source.polled_ms)
    }

    /// Only its portal or its sinks can do something about it.
    fn is_excused(&self, source: &SourceReport) -> bool {
        let lanes = &self.report.lanes;
        // Sources share what keeps a sink from taking events, and one of them tries for all.
        let is_in_trouble = |sink: &str| lanes.iter().any(|lane| lane.sink == sink && self.is_trying(lane));
        let mut sinks = lanes.iter().filter(|lane| lane.source == source.name).map(|lane| lane.sink.as_str());
        !source.trouble.is_empty() || sinks.any(is_in_trouble)
    }

    /// In trouble, and either waiting for a person's word or not yet overdue.
    fn is_trying(&self, lane: &LaneReport) -> bool {
        let is_due = |next_ms: i64| {
            let late_ms = self.now_ms.saturating_sub(next_ms);
            u128::try_from(late_ms).is_ok_and(|ms| ms > ATTEMPT_MAX.as_millis())
        };
        match lane.state.as_str() {
            "paused" => true,
            "retrying" | "held" => !lane.next_ms.is_some_and(is_due),
            _ => false,
        }
    }

    /// Others are polled and it never was by this daemon: without a configuration nobody knows whether it should be.
    fn is_left_out(&self, source: &SourceReport) -> bool {
        self.expected.sources.is_none()
            && self.report.holder_since_ms.is_some_and(|started_ms| self.sign_ms(source) < Some(started_ms))
            && self.is_any_polled()
    }

    /// The running daemon has polled something.
    fn is_any_polled(&self) -> bool {
        let started_ms = self.report.holder_since_ms;
        let is_polled = |source: &SourceReport| started_ms.is_some() && source.polled_ms >= started_ms;
        self.report.sources.iter().any(is_polled)
    }
}

/// What was rejected and waits.
fn of_grave(grave: &GraveReport) -> Finding {
    let GraveReport { sink, count, .. } = grave;
    let letters = if *count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") };
    let text = format!("`{sink}` has {letters}: `b24relay dead-letters list`");
    Finding { sink: Some(sink.clone()), ..Finding::note(Kind::DeadLetters, &text) }
}

/// What keeps a sink from taking the events of a source.
fn of_lane(lane: &LaneReport) -> Option<Finding> {
    let LaneReport { source, sink, state, since_ms, trouble, .. } = lane;
    if trouble.is_empty() {
        return None;
    }
    let since = since_ms.map_or_else(String::new, |ms| format!(" since {}", time(ms)));
    let text = format!("`{sink}` of `{source}` is {state}{since}: {trouble}");
    Some(Finding { sink: Some(sink.clone()), ..Finding::note(Kind::Sink, &text).of(source) })
}
