//! The main part of the page: each source, and below it each sink that receives its events.

use maud::{Markup, html};

use crate::health::GAPS_MAX;
use crate::health::{Grade, Health, LaneHealth, LaneState, SourceHealth, SourceState};
use crate::human::{age, ago, size, span, until};
use crate::service::page::charts::{LATENCY, RATE};
use crate::service::page::history::RATE_KNOWN_AFTER;
use crate::service::page::markup::words;
use crate::service::view::View;
use crate::store::{GapReport, SourceReport};

/// The sources and sinks in `health`.
pub(crate) fn flows(view: &View, health: &Health) -> Markup {
    html! {
        @if health.sources.is_empty() {
            section { h2 { "Sources" } p class="none" { "None was polled yet." } }
        }
        @for source in &health.sources {
            section class="flow" {
                (head(source))
                @let lanes = health.lanes.iter().filter(|lane| lane.report.source == source.report.name);
                ul class="lanes" {
                    @for lane in lanes { (one_lane(view, lane)) }
                    @for sink in untouched(view, health, &source.report.name) { (quiet_lane(&sink, source)) }
                }
            }
        }
    }
}

fn class(grade: Grade) -> &'static str {
    match grade {
        Grade::Healthy => "good",
        Grade::Degraded => "wait",
        Grade::ActionRequired => "bad",
    }
}

fn head(SourceHealth { report: source, grade, label, trouble, .. }: &SourceHealth) -> Markup {
    // By the portal's clock, the age can be negative.
    let lag = source.covered_ms.map_or("-".to_owned(), |ms| age(ms.saturating_sub(source.skew_ms)));
    let (retention, retention_class) = match source.retention_left_s {
        None => ("-".to_owned(), ""),
        Some(..=0) => ("none: events are being lost".to_owned(), "bad"),
        Some(left_s) => (span(left_s), ""),
    };
    let journal = match source.journal_events {
        0 => "empty".to_owned(),
        1 => format!("1 event, {}", size(source.journal_bytes)),
        events => format!("{} events, {}", count(events), size(source.journal_bytes)),
    };
    html! {
        div class="source" {
            div class="name" {
                h2 { (source.name) }
                span class={ "state " (class(*grade)) } { (label) }
                p { (source.identity) }
            }
            dl {
                (fact("Last poll", &source.polled_ms.map_or("never".to_owned(), ago)))
                (fact("Lag", &lag))
                (fact_that_is(retention_class, "Retention left", &retention))
                (fact("Journal", &journal))
            }
            @if !trouble.is_empty() { p class="trouble" { (words(trouble)) } }
            @for loss in losses(source) { p class="trouble" { (words(&loss)) } }
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    fact_that_is("", name, value)
}

fn fact_that_is(class: &str, name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd class=[(!class.is_empty()).then_some(class)] { (value) } } }
}

/// Past gaps, which stay unnoticed after a source has recovered.
fn losses(source: &SourceReport) -> Vec<String> {
    let mut told = Vec::new();
    if source.losses > 0 {
        told.push(format!(
            "times the subscription was lost, and events may be missing: {}",
            count(source.losses)
        ));
    }
    if source.stolen > 0 {
        let stolen = count(source.stolen);
        told.push(format!("events that disappeared before they were confirmed: {stolen}; does another program read this queue?"));
    }
    let latest = source.gaps.iter().rev().take(GAPS_MAX);
    told.extend(latest.map(GapReport::told));
    if source.gaps.len() > GAPS_MAX {
        told.push(format!(
            "older gaps: {} (`b24relay status --json` has them)",
            source.gaps.len() - GAPS_MAX
        ));
    }
    told
}

/// The sinks of `source` that are not in the state file yet, because they have received no event.
fn untouched(view: &View, health: &Health, source: &str) -> Vec<String> {
    let is_known = |sink: &str| {
        health.lanes.iter().any(|LaneHealth { report: lane, .. }| {
            (lane.source.as_str(), lane.sink.as_str()) == (source, sink)
        })
    };
    let lanes = view.telemetry.metrics.totals().into_keys();
    lanes.filter(|(of, sink)| of == source && !is_known(sink)).map(|(_, sink)| sink).collect()
}

/// A lane without events: only its source can block it.
fn quiet_lane(sink: &str, source: &SourceHealth) -> Markup {
    let label = match source.state {
        SourceState::Polling => "ready".to_owned(),
        SourceState::Starting => "starting".to_owned(),
        _ => format!("idle: source {}", source.label),
    };
    html! {
        li class="lane" {
            div class="name" {
                h3 { (sink) }
                span class={ "state " (class(source.grade.min(Grade::Degraded))) } { (label) }
                p { "no event yet" }
            }
        }
    }
}

fn one_lane(view: &View, health: &LaneHealth) -> Markup {
    let LaneHealth { report: lane, grade, label, .. } = health;
    html! {
        li class="lane" {
            div class="name" {
                h3 { (lane.sink) }
                span class={ "state " (class(*grade)) } { (label) }
                @if let Some(when) = when(health) { p { (when) } }
            }
            dl {
                (fact("Delivered", &count(lane.delivered)))
                (fact("Left out", &count(lane.filtered + lane.expired)))
                (fact("Pending", &count(lane.pending)))
                (fact_that_is(if lane.dead_letters > 0 { "bad" } else { "" }, "Dead letters", &count(lane.dead_letters)))
            }
            (charts(view, &lane.source, &lane.sink))
            @if !lane.trouble.is_empty() && shows_trouble(health.state) { p class="trouble" { (words(&lane.trouble)) } }
        }
    }
}

fn charts(view: &View, source: &str, sink: &str) -> Markup {
    let steps = view.history.of(source, sink);
    let rates: Vec<Option<f64>> = steps.iter().map(|step| Some(step.per_second)).collect();
    let latencies: Vec<Option<f64>> = steps.iter().map(|step| step.latency_s).collect();
    let rate = view.history.rate(source, sink, &view.telemetry.metrics);
    let rate =
        rate.map_or_else(|| format!("known after {} s", RATE_KNOWN_AFTER.as_secs()), |rate| RATE.spell(rate));
    let latest = latencies.iter().rev().find_map(|latency| *latency);
    let latency = latest.map_or_else(|| "-".to_owned(), |latency| LATENCY.spell(latency));
    html! {
        (RATE.over_the_hour(&rates, &rate))
        (LATENCY.over_the_hour(&latencies, &latency))
    }
}

/// Whether the recorded error is current.
fn shows_trouble(state: LaneState) -> bool {
    matches!(state, LaneState::Retrying | LaneState::Held | LaneState::Paused)
}

fn when(lane: &LaneHealth) -> Option<String> {
    let next_ms = lane.report.next_ms.filter(|_| matches!(lane.state, LaneState::Retrying | LaneState::Held));
    next_ms.map(|ms| format!("next attempt in {}", until(ms)))
}

/// A number with its digits in groups of three.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn numbers_come_in_groups_of_three() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }
}
