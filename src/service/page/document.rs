//! The status page: which events go where, at a glance. It works without scripts. Foreign text is always escaped, and
//! characters that are invisible are shown by their code.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, html};

use crate::health::Health;
use crate::human::{ago, size, time};
use crate::service::page::flows;
use crate::service::page::markup::words;
use crate::service::page::recent_events::RecentEvent;
use crate::service::page::recent_problems::RecentProblem;
use crate::service::signals::health::{self, Condition};
use crate::service::view::View;
use crate::store::DeadLetterReport;

/// How often a browser reloads it, in seconds.
const REFRESH_S: u32 = 10;

/// The style sheet.
pub(crate) const STYLE: &str = include_str!("page.css");

/// The page of `health`.
pub(crate) fn page(view: &View, health: &Health) -> Markup {
    let condition = health::condition(view, health);
    let (headline, class) = headline(condition);
    let reasons = match condition {
        Condition::Healthy => Vec::new(),
        Condition::Stopping | Condition::Starting => health::unready(view, health),
        Condition::ActionRequired | Condition::Degraded => health::problems(view, health),
    };
    let recent_events = view.telemetry.recent_events.latest();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(REFRESH_S);
                title { (headline) " - b24relay" }
                link rel="stylesheet" href="style.css";
            }
            body {
                header {
                    h1 { "b24relay" }
                    p class="version" { (env!("CARGO_PKG_VERSION")) }
                    p class="sum" { (sum(view, health)) }
                }
                main {
                    (verdict(headline, class, &reasons))
                    (flows::flows(view, health))
                    @if !health.dead_letters.is_empty() { (stats(&health.dead_letters)) }
                    @if !recent_events.is_empty() { (events(&recent_events)) }
                    (problems(&view.problems.latest()))
                }
                footer { "As of " (time(health.at_ms)) ", renewed every " (REFRESH_S) " s. The same as "
                    a href="status" { "JSON" } " and as " a href="metrics" { "metrics" } "." }
            }
        }
    }
}

fn headline(condition: Condition) -> (&'static str, &'static str) {
    match condition {
        Condition::Stopping => ("stopping", "wait"),
        Condition::ActionRequired => ("action required", "bad"),
        Condition::Starting => ("starting", "wait"),
        Condition::Degraded => ("degraded, recovering", "wait"),
        Condition::Healthy => ("healthy", "good"),
    }
}

fn sum(view: &View, health: &Health) -> String {
    let running = view.telemetry.metrics.totals().into_keys().map(|(_, sink)| sink);
    let sinks: BTreeSet<String> =
        health.lanes.iter().map(|lane| lane.report.sink.clone()).chain(running).collect();
    let delivered = health.lanes.iter().map(|lane| lane.report.delivered).sum();
    let several = |count: usize, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (sources, sinks) = (several(health.sources.len(), "source"), several(sinks.len(), "sink"));
    format!("{sources}, {sinks}, {} deliveries", flows::count(delivered))
}

fn verdict(headline: &str, class: &str, reasons: &[String]) -> Markup {
    html! {
        section class={ "verdict " (class) } {
            h2 { (headline) }
            @if !reasons.is_empty() { ul { @for reason in reasons { li { (words(reason)) } } } }
        }
    }
}

fn stats(stats: &[DeadLetterReport]) -> Markup {
    html! {
        section {
            h2 { "Dead letters" }
            ul { @for dead_letters in stats { li {
                strong { (dead_letters.sink) } " has rejected " (flows::count(dead_letters.count)) ", the oldest " (ago(dead_letters.oldest_ms))
                " (" (size(dead_letters.bytes)) "): " code { "b24relay dead-letters list --sink " (dead_letters.sink) }
            } } }
        }
    }
}

fn events(recent_events: &[RecentEvent]) -> Markup {
    html! {
        section {
            h2 { "Latest events" }
            ol class="events" { @for recent_event in recent_events { li {
                p { strong { (recent_event.source) } " " (recent_event.id) " " code { (recent_event.kind) } }
                pre { (recent_event.data) }
            } } }
        }
    }
}

fn problems(problems: &[RecentProblem]) -> Markup {
    html! {
        section {
            h2 { "Latest warnings and errors" }
            @if problems.is_empty() {
                p class="none" { "None since the start." }
            } @else {
                ol class="log" { @for trouble in problems { li {
                    time { (time(trouble.at_ms)) }
                    span class={ "state " (if trouble.is_error { "bad" } else { "wait" }) } {
                        (if trouble.is_error { "error" } else { "warning" })
                    }
                    p { (words(&trouble.text)) }
                } } }
            }
        }
    }
}
