//! Judges from the state file whether a daemon is working. Pure.
//!
//! A source is ill when no poll was answered for too long and there is no explanation: its portal reports no error, and
//! no sink blocks it. A failing portal is not a fault of the daemon, and a restart would not help, so it is only a
//! note, in the words of [`crate::health`]. The file does not say when a portal failed last. A daemon that hangs during
//! a portal failure is therefore not detected.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use b24_client::foreign_text::plain;
use serde::Serialize;

use crate::config::Config;
use crate::health::{Health, Problem, SourceHealth, SourceState};
use crate::human::span;
use crate::store::{DeadLetterReport, SourceReport};

/// How long a source may show no activity, unless an argument sets another time.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// The portal deletes events after 24 hours, so these are the last hours.
const RETENTION_LEFT_MIN_S: i64 = 6 * 3600;

/// The sources and sinks to judge, and the accepted silence.
pub(super) struct Expected {
    silence_max: Option<Duration>,
    /// The configured sources with the silence that each needs at least; `None` without a configuration.
    sources: Option<BTreeMap<String, Duration>>,
    sinks: Option<BTreeSet<String>>,
}

impl Expected {
    /// Without a configuration: everything in the state file.
    pub(super) fn recorded(silence_max: Option<Duration>) -> Self {
        Self { silence_max, sources: None, sinks: None }
    }

    /// The sources and sinks of `config`. A quiet source is polled at its configured interval.
    pub(super) fn configured(silence_max: Option<Duration>, config: &Config) -> Self {
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

/// The subject of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// No process holds the state file.
    NotRunning,
    /// The state file cannot be read.
    Unreadable,
    /// No activity, and no explanation for it.
    Stalled,
    /// The running daemon and the configuration do not have the same sources.
    Unknown,
    /// A source cannot poll.
    Source,
    /// A sink takes no events.
    Sink,
    /// The portal will soon delete events that are not stored yet.
    Retention,
    /// The state file cannot be written.
    State,
    /// Dead letters wait for a decision of the operator.
    DeadLetters,
    /// The configuration cannot be used at the next start.
    Configuration,
}

/// One problem.
#[derive(PartialEq, Eq, Debug, Serialize)]
pub(super) struct Finding {
    /// Whether the daemon does not work; otherwise this is a note.
    pub is_ill: bool,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// The text for people.
    pub text: String,
}

impl Finding {
    /// A problem that means that the daemon does not work.
    pub(super) fn ill(kind: Kind, text: &str) -> Self {
        Self { is_ill: true, kind, source: None, sink: None, text: plain(text) }
    }

    /// A problem although the daemon works.
    pub(super) fn note(kind: Kind, text: &str) -> Self {
        Self { is_ill: false, ..Self::ill(kind, text) }
    }

    fn of(self, source: &str) -> Self {
        Self { source: Some(source.to_owned()), ..self }
    }
}

/// The health of the daemon and the expectations for it.
pub(super) struct Judgement<'a> {
    pub health: &'a Health,
    pub expected: &'a Expected,
}

impl Judgement<'_> {
    /// All problems, first those that mean that the daemon does not work.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.sources().flat_map(|source| self.of_source(source)).collect();
        findings.extend(self.missing());
        findings.extend(self.health.problems().iter().filter_map(|problem| self.of_problem(problem)));
        findings.extend(self.health.dead_letters.iter().map(of_grave));
        findings.sort_by_key(|finding| !finding.is_ill);
        findings
    }

    /// The sources that are judged.
    pub(super) fn sources(&self) -> impl Iterator<Item = &SourceHealth> {
        self.health.sources.iter().filter(|source| self.expected.has_source(&source.report.name))
    }

    /// The silence of the source that has been silent longest.
    pub(super) fn longest_silence_s(&self) -> Option<i64> {
        self.sources().filter_map(|source| self.silence_ms(&source.report)).max().map(|ms| ms.max(0) / 1000)
    }

    /// Whether the running daemon has not polled some source yet.
    pub(super) fn is_starting(&self) -> bool {
        self.sources().any(|source| source.state == SourceState::Starting)
    }

    /// The finding for `problem`, if it concerns an expected source or sink and is not reported as an illness.
    fn of_problem(&self, problem: &Problem) -> Option<Finding> {
        let Problem { source, sink, text, .. } = problem;
        let is_looked_at = source.as_ref().is_none_or(|name| self.expected.has_source(name))
            && sink.as_ref().is_none_or(|name| self.expected.has_sink(name));
        let finding = match (source, sink) {
            (None, _) => Finding::ill(Kind::State, text),
            (Some(name), None) => Finding::note(Kind::Source, text).of(name),
            (Some(name), Some(_)) => {
                Finding { sink: sink.clone(), ..Finding::note(Kind::Sink, text).of(name) }
            }
        };
        let is_ill = |other: &SourceHealth| {
            sink.is_none() && source.as_ref() == Some(&other.report.name) && self.stall(other).is_some()
        };
        (is_looked_at && !self.sources().any(is_ill)).then_some(finding)
    }

    fn of_source(&self, health: &SourceHealth) -> Vec<Finding> {
        let SourceReport { name, retention_left_s, .. } = &health.report;
        let mut findings = Vec::from_iter(self.stall(health));
        if let Some(left_s) = retention_left_s.filter(|left_s| *left_s < RETENTION_LEFT_MIN_S) {
            let text = match left_s {
                ..=0 => format!("`{name}`: the portal has begun to forget what is not in safety"),
                _ => format!("`{name}`: the portal forgets what is not in safety in {}", span(left_s)),
            };
            findings.push(Finding::note(Kind::Retention, &text));
        }
        findings.into_iter().map(|finding| finding.of(name)).collect()
    }

    /// The finding for a silence that nothing explains.
    fn stall(&self, health: &SourceHealth) -> Option<Finding> {
        let source = &health.report;
        let silence_ms = self.silence_ms(source);
        // Problems that only the portal or a sink can fix.
        let is_explained =
            matches!(health.state, SourceState::Refused | SourceState::Retrying | SourceState::Blocked);
        if silence_ms.is_some_and(|ms| !self.is_too_long(&source.name, ms)) || is_explained {
            return None;
        }
        let name = &source.name;
        if self.is_left_out(source) {
            let text =
                format!("`{name}` was not polled since the daemon's start: is it no longer configured?");
            return Some(Finding::note(Kind::Unknown, &text));
        }
        let polled = match source.polled_ms {
            Some(ms) => format!("was last polled {} ago", span(self.health.at_ms.saturating_sub(ms) / 1000)),
            None => "has never been polled".to_owned(),
        };
        Some(Finding::ill(Kind::Stalled, &format!("`{name}` {polled}, and nothing tells why")))
    }

    /// Configured sources without a record of the running daemon.
    fn missing(&self) -> Vec<Finding> {
        let Some(started_ms) = self.health.holder_since_ms else { return Vec::new() };
        let configured = self.expected.sources.iter().flatten().map(|(name, _)| name);
        let is_recorded = |name: &str| self.health.sources.iter().any(|source| source.report.name == name);
        let missing = configured.filter(|name| {
            !is_recorded(name) && self.is_too_long(name, self.health.at_ms.saturating_sub(started_ms))
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

    /// Time since the last answered poll. After a start it counts from the start.
    fn silence_ms(&self, source: &SourceReport) -> Option<i64> {
        let sign_ms = source.polled_ms.max(self.health.holder_since_ms);
        sign_ms.map(|ms| self.health.at_ms.saturating_sub(ms))
    }

    /// Whether other sources are polled but this daemon has never polled this one. Without a configuration it is
    /// unknown whether the daemon should.
    fn is_left_out(&self, source: &SourceReport) -> bool {
        self.expected.sources.is_none()
            && self.health.holder_since_ms.is_some_and(|started_ms| source.polled_ms < Some(started_ms))
            && self.is_any_polled()
    }

    /// Whether the running daemon has polled any source.
    fn is_any_polled(&self) -> bool {
        let started_ms = self.health.holder_since_ms;
        let is_polled = |source: &SourceHealth| started_ms.is_some() && source.report.polled_ms >= started_ms;
        self.health.sources.iter().any(is_polled)
    }
}

/// The note about the dead letters of one sink.
fn of_grave(dead_letters: &DeadLetterReport) -> Finding {
    let DeadLetterReport { sink, count, .. } = dead_letters;
    let letters = if *count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") };
    let text = format!("`{sink}` has {letters}: `b24relay dead-letters list`");
    Finding { sink: Some(sink.clone()), ..Finding::note(Kind::DeadLetters, &text) }
}
