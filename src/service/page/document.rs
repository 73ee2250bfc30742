//! The status page: which events go where, at a glance. It works without scripts. Foreign text is always escaped, and
//! characters that are invisible are shown by their code.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, html};

use crate::health::Health;
use crate::service::page::flows;
use crate::service::page::glimpses::Glimpse;
use crate::service::page::markup::words;
use crate::service::page::troubles::Trouble;
use crate::service::signals::health::{self, Condition};
use crate::service::view::View;
use crate::spelling::{ago, size, time};
use crate::store::GraveReport;

/// How often a browser reloads it, in seconds.
const REFRESH_S: u32 = 10;

/// The style sheet.
pub const STYLE: &str = include_str!("page.css");

/// The page of `health`.
pub fn page(view: &View, health: &Health) -> Markup {
    let condition = health::condition(view, health);
    let (headline, class) = headline(condition);
    let reasons = match condition {
        Condition::Healthy => Vec::new(),
        Condition::Stopping | Condition::Starting => health::unready(view, health),
        Condition::ActionRequired | Condition::Degraded => health::problems(view, health),
    };
    let glimpses = view.witness.glimpses.latest();
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
                    @if !health.dead_letters.is_empty() { (graves(&health.dead_letters)) }
                    @if !glimpses.is_empty() { (events(&glimpses)) }
                    (troubles(&view.troubles.latest()))
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
    let running = view.witness.figures.totals().into_keys().map(|(_, sink)| sink);
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

fn graves(graves: &[GraveReport]) -> Markup {
    html! {
        section {
            h2 { "Dead letters" }
            ul { @for grave in graves { li {
                strong { (grave.sink) } " has rejected " (flows::count(grave.count)) ", the oldest " (ago(grave.oldest_ms))
                " (" (size(grave.bytes)) "): " code { "b24relay dead-letters list --sink " (grave.sink) }
            } } }
        }
    }
}

fn events(glimpses: &[Glimpse]) -> Markup {
    html! {
        section {
            h2 { "Latest events" }
            ol class="events" { @for glimpse in glimpses { li {
                p { strong { (glimpse.source) } " " (glimpse.id) " " code { (glimpse.kind) } }
                pre { (glimpse.data) }
            } } }
        }
    }
}

fn troubles(troubles: &[Trouble]) -> Markup {
    html! {
        section {
            h2 { "Latest warnings and errors" }
            @if troubles.is_empty() {
                p class="none" { "None since the start." }
            } @else {
                ol class="log" { @for trouble in troubles { li {
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
