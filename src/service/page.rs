//! The page: what flows where, at a glance. It is whole without a script; what strangers wrote is text in it,
//! and never anything else.

use maud::{DOCTYPE, Markup, html};

use super::View;
use super::charts;
use super::glimpses::Glimpse;
use super::health;
use super::history::{STEP, Step};
use super::troubles::Trouble;
use crate::spelling::{age, ago, size, span, time, until};
use crate::store::{GraveReport, LaneReport, Report, SourceReport};

/// How often a browser asks for it again, in seconds.
const REFRESH_S: u32 = 10;

/// The page's looks.
pub const STYLE: &str = include_str!("page.css");

/// The page of `report`.
pub fn page(view: &View, report: &Report) -> Markup {
    let reasons = health::unready(view, report);
    let glimpses = view.witness.glimpses.latest();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(REFRESH_S);
                title { (title(&reasons)) " - b24relay" }
                link rel="stylesheet" href="style.css";
            }
            body {
                header {
                    h1 { "b24relay" }
                    p class="version" { (env!("CARGO_PKG_VERSION")) }
                    p class={ "verdict " (if reasons.is_empty() { "good" } else { "bad" }) } { (title(&reasons)) }
                }
                main {
                    @if !reasons.is_empty() { (needs(&reasons)) }
                    (sources(view, &report.sources))
                    (lanes(view, &report.lanes))
                    @if !report.dead_letters.is_empty() { (graves(&report.dead_letters)) }
                    @if !glimpses.is_empty() { (events(&glimpses)) }
                    (troubles(&view.troubles.latest()))
                }
                footer { "As of " (time(crate::wall_clock::now_ms())) ", renewed every " (REFRESH_S) " s. "
                    a href="status" { "JSON" } " " a href="metrics" { "metrics" } }
            }
        }
    }
}

fn title(reasons: &[String]) -> &'static str {
    if reasons.is_empty() { "everything flows" } else { "a person is needed" }
}

fn needs(reasons: &[String]) -> Markup {
    html! {
        section class="needs" {
            h2 { "What is in the way" }
            ul { @for reason in reasons { li { (reason) } } }
        }
    }
}

fn sources(view: &View, sources: &[SourceReport]) -> Markup {
    html! {
        section {
            h2 { "Sources" }
            table {
                thead { tr {
                    th { "Source" } th { "Queue" } th { "Last poll" } th { "Retention left" } th { "Journal" } th { "State" }
                } }
                tbody { @for source in sources { (source_row(view, source)) } }
            }
        }
    }
}

fn source_row(view: &View, source: &SourceReport) -> Markup {
    let class = match (source.trouble.is_empty(), view.witness.figures.needs_person(&source.name)) {
        (true, _) => "good",
        (false, false) => "wait",
        (false, true) => "bad",
    };
    html! {
        tr {
            th scope="row" { (source.name) }
            td { (source.identity) }
            td { (source.polled_ms.map_or("never".to_owned(), ago)) }
            td { (source.retention_left_s.map_or("-".to_owned(), retention)) }
            td { (source.journal_events) " events, " (size(source.journal_bytes)) }
            td {
                span class={ "state " (class) } { (if source.trouble.is_empty() { "well" } else { "in trouble" }) }
                @if !source.trouble.is_empty() { p { (source.trouble) } }
                @for loss in losses(source) { p { (loss) } }
            }
        }
    }
}

fn retention(left_s: i64) -> String {
    if left_s <= 0 { "none: events are being lost".to_owned() } else { span(left_s) }
}

fn losses(source: &SourceReport) -> Vec<String> {
    let counts = [
        (source.losses, "times the subscription was lost"),
        (source.stolen, "events disappeared before they were confirmed: another reader?"),
        (source.gaps.len() as u64, "gaps: events may be lost"),
    ];
    counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
}

fn lanes(view: &View, lanes: &[LaneReport]) -> Markup {
    html! {
        section {
            h2 { "Sinks" }
            table {
                thead { tr {
                    th { "Source" } th { "Sink" } th { "Delivered" } th { "Left out" } th { "Waiting" }
                    th { "Dead letters" } th { "Rate, last hour" } th { "Latency, last hour" } th { "State" }
                } }
                tbody { @for lane in lanes { (lane_row(view, lane)) } }
            }
        }
    }
}

fn lane_row(view: &View, lane: &LaneReport) -> Markup {
    let steps = view.history.of(&lane.source, &lane.sink);
    let rates: Vec<Option<f64>> = steps.iter().map(|step| Some(step.per_second)).collect();
    let latencies: Vec<Option<f64>> = steps.iter().map(|step| step.latency_s).collect();
    let class = match lane.state.as_str() {
        "flowing" | "draining" => "good",
        "retrying" => "wait",
        _ => "bad",
    };
    html! {
        tr {
            td { (lane.source) }
            th scope="row" { (lane.sink) }
            td { (lane.delivered) }
            td { (lane.filtered + lane.expired) }
            td { (lane.pending) }
            td { (lane.dead_letters) }
            td { (charts::line(&rates, "events a second over the last hour")) p { (rate(&steps)) } }
            td { (charts::line(&latencies, "seconds from event to delivery over the last hour")) p { (latency(&steps)) } }
            td {
                span class={ "state " (class) } { (lane.state) }
                @if !lane.trouble.is_empty() { p { (lane.trouble) } }
                @if let Some(when) = when(lane) { p { (when) } }
            }
        }
    }
}

fn when(lane: &LaneReport) -> Option<String> {
    let since = lane.since_ms.filter(|_| lane.state != "flowing").map(|ms| format!("for {}", age(ms)));
    let next = lane.next_ms.map(|ms| format!("next attempt in {}", until(ms)));
    let parts: Vec<String> = since.into_iter().chain(next).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn rate(steps: &[Step]) -> String {
    steps.last().map_or_else(
        || format!("known after {} s", STEP.as_secs()),
        |step| format!("{:.1}/s now", step.per_second),
    )
}

fn latency(steps: &[Step]) -> String {
    let latest = steps.iter().rev().find_map(|step| step.latency_s);
    latest.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"))
}

fn graves(graves: &[GraveReport]) -> Markup {
    html! {
        section {
            h2 { "Dead letters" }
            ul { @for grave in graves { li {
                (grave.count) " of " strong { (grave.sink) } " (" (size(grave.bytes)) ", the oldest of " (ago(grave.oldest_ms)) "): "
                code { "b24relay dead-letters list --sink " (grave.sink) }
            } } }
        }
    }
}

fn events(glimpses: &[Glimpse]) -> Markup {
    html! {
        section {
            h2 { "Latest events" }
            table {
                thead { tr { th { "Source" } th { "Event" } th { "Type" } th { "Data" } } }
                tbody { @for glimpse in glimpses { tr {
                    td { (glimpse.source) } td { (glimpse.id) } td { (glimpse.kind) } td { code { (glimpse.data) } }
                } } }
            }
        }
    }
}

fn troubles(troubles: &[Trouble]) -> Markup {
    html! {
        section {
            h2 { "Latest warnings and errors" }
            @if troubles.is_empty() {
                p { "None since the start." }
            } @else {
                ol class="log" { @for trouble in troubles { li {
                    time { (time(trouble.at_ms)) } " "
                    span class={ "state " (if trouble.is_error { "bad" } else { "wait" }) } { (if trouble.is_error { "error" } else { "warning" }) }
                    " " (trouble.text)
                } } }
            }
        }
    }
}
