//! The sinks as cards, each summed over its sources.

use maud::{Markup, html};

use crate::health::{Grade, Health, LaneState, SinkHealth, SourceState};
use crate::human::ago;
use crate::service::page::chart::drawing::{Past, RATE, TIME};
use crate::service::page::chart::frame::{Frame, SinkFrame};
use crate::service::page::chart::history::{Forecast, RATE_KNOWN_AFTER, Rates};
use crate::service::page::markup::{class, words};
use crate::service::page::texts::{Texts, count, fill};
use crate::service::view::View;
use crate::store::DeadLetterReport;

/// How many sinks have a card with charts; the others have a line. It bounds the size of the page.
const CARDS_MAX: usize = 16;

/// The sinks of `health`, and those that have received no event yet.
pub(crate) fn sinks(texts: &Texts, view: &View, health: &Health, past: &Past) -> Markup {
    let sinks = health.sinks();
    let known = |name: &str| sinks.iter().any(|sink| sink.name == name);
    let quiet = view.telemetry.active_config.sinks().into_iter().filter(|name| !known(name));
    let rates = view.history.rates(&view.telemetry.metrics);
    let (cards, lines) = sinks.split_at(sinks.len().min(CARDS_MAX));
    html! {
        section id="sinks" data-part class="plain" {
            h2 { (texts.sinks) }
            div class="cards" {
                @for sink in cards {
                    article class="card" {
                        (head(texts, health, sink))
                        (body(texts, view, health, sink))
                        (charts(texts, past, sink.name, rates.as_ref()))
                        @if let Some(letters) = health.dead_letters.iter().find(|letters| letters.sink == sink.name) {
                            (dead_letters(texts, letters))
                        }
                    }
                }
                @for name in quiet { (quiet_card(texts, health, &name)) }
                @for sink in lines { article class="card" { (head(texts, health, sink)) (body(texts, view, health, sink)) } }
                @for letters in health.dead_letters.iter().filter(|letters| !known(&letters.sink)) {
                    article class="card" { h3 { (letters.sink) } (dead_letters(texts, letters)) }
                }
            }
        }
    }
}

fn head(texts: &Texts, health: &Health, sink: &SinkHealth<'_>) -> Markup {
    let worst = sink.worst;
    let next_ms =
        worst.report.next_ms.filter(|_| matches!(worst.state, LaneState::Retrying | LaneState::Held));
    html! {
        h3 { (sink.name) }
        p {
            span class={ "state " (class(sink.grade)) } { (texts.lane_state(worst.state, &worst.label)) }
            @if sink.lanes > 1 && sink.grade != Grade::Healthy {
                " " (fill(texts.in_sources, &[&count(sink.alike as u64), &count(sink.lanes as u64)]))
            }
            @if let Some(next_ms) = next_ms {
                ", " (fill(texts.next_attempt, &[&texts.span(next_ms.saturating_sub(health.at_ms) / 1000)]))
            }
        }
    }
}

fn body(texts: &Texts, view: &View, health: &Health, sink: &SinkHealth<'_>) -> Markup {
    html! {
        @if view.telemetry.metrics.is_breaker_open(sink.name) { p class="dim" { (texts.one_at_a_time) } }
        @if !sink.trouble().is_empty() { p class="trouble" { (words(sink.trouble())) } }
        dl {
            (fact("", texts.delivered, &count(sink.delivered)))
            (fact("", texts.left_out, &count(sink.filtered.saturating_add(sink.expired))))
            (fact("", texts.pending, &count(sink.pending)))
            (fact(if sink.dead_letters > 0 { "bad" } else { "" }, texts.dead_letters, &count(sink.dead_letters)))
        }
        @if let Some(forecast) = forecast(texts, view, health, sink) { p class="dim" { (forecast) } }
    }
}

fn fact(class: &str, name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd class=[(!class.is_empty()).then_some(class)] { (value) } } }
}

/// When it will have received everything, if it lacks something that it could receive, and since when it lacks it.
fn forecast(texts: &Texts, view: &View, health: &Health, sink: &SinkHealth<'_>) -> Option<String> {
    let oldest_ms = sink.oldest_pending_ms?;
    let oldest = format!("{}: {}", texts.oldest_pending, texts.ago(health, oldest_ms));
    if !matches!(sink.worst.state, LaneState::Flowing | LaneState::Delivering) {
        return Some(oldest);
    }
    let forecast = match view.history.caught_up_in(sink.name, sink.pending) {
        Forecast::Unknown => return Some(oldest),
        Forecast::Seconds(left_s) => fill(texts.caught_up, &[&texts.span(left_s)]),
        Forecast::Never => texts.not_catching_up.to_owned(),
    };
    Some(format!("{oldest}; {forecast}"))
}

fn charts(texts: &Texts, past: &Past, sink: &str, rates: Option<&Rates>) -> Markup {
    let of = |frame: &Frame| frame.sinks.get(sink).copied();
    let rate = rates.map_or_else(
        || fill(texts.known_after, &[&texts.span(RATE_KNOWN_AFTER.as_secs().cast_signed())]),
        |rates| texts.with_unit(&RATE.spell(rates.of(sink))),
    );
    let latest = past.frames.iter().rev().find_map(|frame| {
        let SinkFrame(_, median, slow) = of(frame)?;
        median.zip(slow)
    });
    let [median, slow] = [latest.map(|latest| latest.0), latest.map(|latest| latest.1)].map(|value| {
        value.map_or_else(|| "-".to_owned(), |value| texts.with_unit(&TIME.spell(f64::from(value))))
    });
    html! {
        figure {
            figcaption { (texts.rate) " " strong { (rate) } }
            (RATE.chart(texts, past, texts.rate, &[&|frame| of(frame).map(|figures| figures.0)]))
        }
        figure {
            figcaption { (texts.latency) " p50 " strong { (median) } ", p99 " strong { (slow) } }
            (TIME.chart(texts, past, texts.latency, &[
                &|frame| of(frame).and_then(|figures| figures.1),
                &|frame| of(frame).and_then(|figures| figures.2),
            ]))
        }
    }
}

/// A sink without events: only its sources can block it.
fn quiet_card(texts: &Texts, health: &Health, name: &str) -> Markup {
    let worst = health.sources_by_severity().first().copied();
    let grade = worst.map_or(Grade::Healthy, |source| source.grade.min(Grade::Degraded));
    let label = match worst {
        Some(source) if source.grade != Grade::Healthy => {
            let label = match source.state {
                SourceState::Starting => "starting".to_owned(),
                _ => format!("idle: source {}", source.label),
            };
            texts.lane_state(LaneState::Idle, &label)
        }
        _ => texts.lane_state(LaneState::Flowing, "ready"),
    };
    html! {
        article class="card" {
            h3 { (name) }
            p { span class={ "state " (class(grade)) } { (label) } }
            p class="dim" { (texts.no_event_yet) }
        }
    }
}

fn dead_letters(texts: &Texts, letters: &DeadLetterReport) -> Markup {
    html! {
        p class="trouble" {
            (texts.dead_letters) ": " (count(letters.count)) " (" (texts.size(letters.bytes)) ", "
            (texts.with_unit(&ago(letters.oldest_ms))) "): "
            code { "b24relay dead-letters list --sink " (letters.sink) }
        }
    }
}
