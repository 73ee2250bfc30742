//! The status page: which events go where, at a glance. Its script only renews it; everything works without. Foreign
//! text is always escaped, and characters that are invisible are shown by their code.

use std::fmt::Write as _;

use maud::{DOCTYPE, Markup, html};

use crate::health::Health;
use crate::human::time;
use crate::service::page::chart::drawing::Past;
use crate::service::page::markup::words;
use crate::service::page::recent::recent_events::RecentEvent;
use crate::service::page::recent::recent_problems::RecentProblem;
use crate::service::page::texts::{ENGLISH, RUSSIAN, Texts, count, fill};
use crate::service::page::{sinks, sources, top};
use crate::service::signals::health;
use crate::service::view::View;

/// How often a browser without scripts reloads it, in seconds.
const REFRESH_S: u32 = 10;

/// The script.
pub(crate) const SCRIPT: &str = include_str!("assets/page.js");

/// The icon in the browser's tab.
pub(crate) const ICON: &str = include_str!("assets/favicon.svg");

/// The style sheet. On a narrow screen each cell of the table has its heading, in the language of the page.
pub(crate) fn style() -> String {
    let mut style = include_str!("assets/page.css").to_owned();
    style.push_str("@media (max-width: 900px) {\n");
    for texts in [&ENGLISH, &RUSSIAN] {
        for (index, name) in sources::columns(texts).iter().enumerate() {
            // Writing to a string cannot fail.
            let _infallible = writeln!(
                style,
                ":lang({}) td:nth-child({})::before {{ content: \"{name} \"; }}",
                texts.lang,
                index + 3
            );
        }
    }
    style.push_str("}\n");
    style
}

/// The page of `health` in the language of `texts`, with the sources that `query` finds.
pub(crate) fn page(texts: &Texts, view: &View, health: &Health, query: &str) -> Markup {
    let condition = health::condition(view, health);
    let recent_events = view.telemetry.recent_events.latest();
    let (frames, span) = view.history.frames();
    let past = Past { frames, span };
    html! {
        (DOCTYPE)
        html lang=(texts.lang) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                noscript { meta http-equiv="refresh" content=(REFRESH_S); }
                title { (texts.condition(condition)) " - b24relay" }
                link rel="stylesheet" href="style.css";
                link rel="icon" href="favicon.svg" type="image/svg+xml";
                script src="page.js" defer {}
            }
            body {
                header {
                    h1 { "b24relay" }
                    p id="sum" data-part class="sum" { (sum(texts, view, health)) }
                    p class="unreachable" role="status" { (texts.unreachable) }
                }
                main {
                    (top::verdict(texts, view, health, condition))
                    (top::tiles(texts, view, health, &past))
                    (sinks::sinks(texts, view, health, &past))
                    (sources::sources(texts, view, health, query))
                    (events(texts, &recent_events))
                    (problems(texts, &view.problems.latest()))
                }
                footer id="about" data-part { (about(texts, view, health)) }
            }
        }
    }
}

fn sum(texts: &Texts, view: &View, health: &Health) -> String {
    let configured = view.telemetry.active_config.sinks();
    let sinks = configured.len().max(health.sinks().len());
    let sources = fill(texts.sources_count, &[&count(health.sources.len() as u64)]);
    format!("{sources}, {}", fill(texts.sinks_count, &[&count(sinks as u64)]))
}

fn events(texts: &Texts, recent_events: &[RecentEvent]) -> Markup {
    html! {
        section id="events" data-part hidden[recent_events.is_empty()] {
            h2 { (texts.latest_events) }
            ol class="events" { @for recent_event in recent_events { li {
                p { strong { (recent_event.source) } " " (recent_event.id) " " code { (recent_event.kind) } }
                pre { (recent_event.data) }
            } } }
        }
    }
}

fn problems(texts: &Texts, problems: &[RecentProblem]) -> Markup {
    html! {
        section id="problems" data-part {
            h2 { (texts.problems) }
            @if problems.is_empty() {
                p class="dim" { (texts.no_problems) }
            } @else {
                ol class="log" { @for problem in problems { li {
                    time { (time(problem.at_ms)) }
                    span class={ "state " (if problem.is_error { "bad" } else { "wait" }) } {
                        (if problem.is_error { texts.error } else { texts.warning })
                    }
                    div {
                        p { (words(&problem.text)) }
                        @if problem.count > 1 {
                            p class="dim" { (fill(texts.times, &[&count(problem.count), &time(problem.first_ms)])) }
                        }
                    }
                } } }
            }
        }
    }
}

/// What runs here, since when and from which file.
fn about(texts: &Texts, view: &View, health: &Health) -> Markup {
    let uptime = health.holder_since_ms.map(|since_ms| texts.since(health, since_ms));
    html! {
        p {
            (texts.version) " " (env!("CARGO_PKG_VERSION"))
            @if let Some(uptime) = uptime { " · " (texts.running_for) " " (uptime) }
            @if !view.place.instance.is_empty() { " · " (texts.instance) " " (view.place.instance) }
            @if let Some(file) = &view.place.configuration { " · " (texts.configuration) " " code { (file.display()) } }
        }
        p {
            (texts.as_of) " " (time(health.at_ms)) ". " (texts.same_as) " "
            a href="status" { "JSON" } ", " a href="metrics" { (texts.metrics) } "."
        }
    }
}
