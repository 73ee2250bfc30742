//! The page's main part: each source, and beneath it each sink that takes from it.

use maud::{Markup, html};

use super::View;
use super::charts::{LATENCY, RATE};
use super::history::STEP;
use super::page::words;
use crate::spelling::{age, ago, size, span, until};
use crate::store::{GapReport, LaneReport, Report, SourceReport};

/// How many gaps are told one by one.
const GAPS_MAX: usize = 3;

/// All of `report`.
pub fn flows(view: &View, report: &Report) -> Markup {
    html! {
        @if report.sources.is_empty() {
            section { h2 { "Sources" } p class="none" { "None was polled yet." } }
        }
        @for source in &report.sources {
            section class="flow" {
                (head(view, source))
                @let lanes = report.lanes.iter().filter(|lane| lane.source == source.name);
                ul class="lanes" {
                    @for lane in lanes { (one_lane(view, lane)) }
                    @for sink in untouched(view, report, &source.name) { (quiet_lane(&sink)) }
                }
            }
        }
    }
}

fn head(view: &View, source: &SourceReport) -> Markup {
    let (state, class) = match (source.trouble.is_empty(), view.witness.figures.needs_person(&source.name)) {
        (true, _) => ("polling", "good"),
        (false, false) => ("in trouble", "wait"),
        (false, true) => ("needs a person", "bad"),
    };
    // By the portal's clock, less than nothing is possible.
    let lag = source.covered_ms.map_or("-".to_owned(), |ms| age(ms.saturating_sub(source.skew_ms)));
    let (retention, retention_class) = match source.retention_left_s {
        None => ("-".to_owned(), ""),
        Some(..=0) => ("none: events are being lost".to_owned(), "bad"),
        Some(left_s) => (span(left_s), ""),
    };
    let journal = match source.journal_events {
        0 => "empty".to_owned(),
        events => format!("{} events, {}", count(events), size(source.journal_bytes)),
    };
    html! {
        div class="source" {
            div class="name" {
                h2 { (source.name) }
                span class={ "state " (class) } { (state) }
                p { (source.identity) }
            }
            dl {
                (fact("Last poll", &source.polled_ms.map_or("never".to_owned(), ago)))
                (fact("Lag", &lag))
                (fact_that_is(retention_class, "Retention left", &retention))
                (fact("Journal", &journal))
            }
            @if !source.trouble.is_empty() { p class="trouble" { (words(&source.trouble)) } }
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

/// The holes that nobody sees once a source is well again.
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

/// The sinks of `source` that the state file does not know, as there was nothing for them yet.
fn untouched(view: &View, report: &Report, source: &str) -> Vec<String> {
    let is_known = |sink: &str| {
        report.lanes.iter().any(|lane| (lane.source.as_str(), lane.sink.as_str()) == (source, sink))
    };
    let lanes = view.witness.figures.totals().into_keys();
    lanes.filter(|(of, sink)| of == source && !is_known(sink)).map(|(_, sink)| sink).collect()
}

fn quiet_lane(sink: &str) -> Markup {
    html! {
        li class="lane" {
            div class="name" { h3 { (sink) } span class="state good" { "waiting" } p { "for its first event" } }
        }
    }
}

fn one_lane(view: &View, lane: &LaneReport) -> Markup {
    let class = match lane.state.as_str() {
        "flowing" | "draining" => "good",
        "retrying" => "wait",
        _ => "bad",
    };
    let waiting = match (lane.pending, lane.trouble.is_empty()) {
        // Nobody knows how many: without a journal it is the portal that holds them.
        (0, false) => "at the portal".to_owned(),
        (pending, _) => count(pending),
    };
    html! {
        li class="lane" {
            div class="name" {
                h3 { (lane.sink) }
                span class={ "state " (class) } { (lane.state) }
                @if let Some(when) = when(lane) { p { (when) } }
            }
            dl {
                (fact("Delivered", &count(lane.delivered)))
                (fact("Left out", &count(lane.filtered + lane.expired)))
                (fact("Waiting", &waiting))
                (fact_that_is(if lane.dead_letters > 0 { "bad" } else { "" }, "Dead letters", &count(lane.dead_letters)))
            }
            (charts(view, lane))
            @if !lane.trouble.is_empty() { p class="trouble" { (words(&lane.trouble)) } }
        }
    }
}

fn charts(view: &View, lane: &LaneReport) -> Markup {
    let steps = view.history.of(&lane.source, &lane.sink);
    let rates: Vec<Option<f64>> = steps.iter().map(|step| Some(step.per_second)).collect();
    let latencies: Vec<Option<f64>> = steps.iter().map(|step| step.latency_s).collect();
    let rate = steps
        .last()
        .map_or_else(|| format!("known after {} s", STEP.as_secs()), |step| RATE.spell(step.per_second));
    let latest = latencies.iter().rev().find_map(|latency| *latency);
    let latency = latest.map_or_else(|| "-".to_owned(), |latency| LATENCY.spell(latency));
    html! {
        (RATE.over_the_hour(&rates, &rate))
        (LATENCY.over_the_hour(&latencies, &latency))
    }
}

fn when(lane: &LaneReport) -> Option<String> {
    let since = lane.since_ms.filter(|_| lane.state != "flowing").map(|ms| format!("for {}", age(ms)));
    let next = lane.next_ms.map(|ms| format!("next attempt in {}", until(ms)));
    let parts: Vec<String> = since.into_iter().chain(next).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A number as people read it: in groups of three.
pub fn count(number: u64) -> String {
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
