//! The top of the page: the state in a word with its reason and what to do, then the four figures that matter most.

use maud::{Markup, html};

use crate::health::{Condition, Health, command_for};
use crate::service::page::chart::drawing::{COUNT, Past, TIME, number};
use crate::service::page::markup::words;
use crate::service::page::texts::{Texts, count, fill};
use crate::service::signals::health;
use crate::service::view::View;

/// How many reasons are shown.
const REASONS_MAX: usize = 5;

/// The class of a state: its colour.
pub(crate) fn tone(condition: Condition) -> &'static str {
    match condition {
        Condition::Healthy => "good",
        Condition::Stopping | Condition::Starting | Condition::Degraded => "wait",
        Condition::Stopped | Condition::ActionRequired => "bad",
    }
}

/// The state in a word, why it is so, and the command to copy.
pub(crate) fn verdict(texts: &Texts, view: &View, health: &Health, condition: Condition) -> Markup {
    let reasons = match condition {
        Condition::Healthy => Vec::new(),
        Condition::Stopped | Condition::Stopping | Condition::Starting => health::unready(view, health),
        Condition::ActionRequired | Condition::Degraded => health::problems(view, health),
    };
    let needs_command = matches!(condition, Condition::ActionRequired | Condition::Degraded);
    let command = reasons.first().filter(|_| needs_command).map(|reason| command_for(reason));
    html! {
        section id="verdict" data-part class={ "verdict " (tone(condition)) } aria-live="polite" {
            h2 { (texts.condition(condition)) }
            @if !reasons.is_empty() {
                ul {
                    @for reason in reasons.iter().take(REASONS_MAX) { li { (words(reason)) } }
                    @if reasons.len() > REASONS_MAX {
                        li { (words(&fill(texts.and_more, &[&count((reasons.len() - REASONS_MAX) as u64)]))) }
                    }
                }
            }
            @if let Some(command) = command {
                p class="command" {
                    span { (texts.command) }
                    code id="command" { (command) }
                    button type="button" id="copy" data-copy="command" hidden { (texts.copy) }
                }
            }
        }
    }
}

/// The four figures, each with its last day.
pub(crate) fn tiles(texts: &Texts, view: &View, health: &Health, past: &Past) -> Markup {
    html! {
        section id="tiles" data-part class="tiles" {
            (traffic(texts, view, health, past))
            (oldest(texts, health, past))
            (risk(texts, health, past))
            (rejected(texts, health, past))
        }
    }
}

fn tile(class: &str, name: &str, value: &str, more: &str, chart: &Markup) -> Markup {
    html! {
        div class={ "tile " (class) } {
            h3 { (name) }
            strong { (value) }
            p { (more) }
            (chart)
        }
    }
}

fn traffic(texts: &Texts, view: &View, health: &Health, past: &Past) -> Markup {
    let rates = view.history.rates(&view.telemetry.metrics);
    let value = rates.map_or_else(|| "-".to_owned(), |rates| number(rates.received() * 60.0));
    let delivered = health.lanes.iter().map(|lane| lane.report.delivered).sum();
    let more = fill(texts.deliveries, &[&count(delivered)]);
    let chart = COUNT.chart(texts, past, texts.events_per_minute, &[&|frame| Some(frame.received * 60.0)]);
    tile("", texts.events_per_minute, &value, &more, &chart)
}

fn oldest(texts: &Texts, health: &Health, past: &Past) -> Markup {
    let pending: u64 = health.lanes.iter().map(|lane| lane.report.pending).sum();
    let oldest_ms = health.lanes.iter().filter_map(|lane| lane.report.oldest_pending_ms).min();
    let value = oldest_ms.map_or_else(|| texts.none.to_owned(), |oldest_ms| texts.since(health, oldest_ms));
    let more = match pending {
        0 => texts.nothing_waits.to_owned(),
        _ => format!("{}: {}", texts.pending, count(pending)),
    };
    let chart = TIME.chart(texts, past, texts.oldest_pending, &[&|frame| frame.oldest_s]);
    tile("", texts.oldest_pending, &value, &more, &chart)
}

fn risk(texts: &Texts, health: &Health, past: &Past) -> Markup {
    let at_risk = health.at_risk();
    let value = match at_risk {
        0 => texts.none.to_owned(),
        _ => fill(texts.sources_count, &[&count(at_risk as u64)]),
    };
    let expired: u64 = health.lanes.iter().map(|lane| lane.report.expired).sum();
    let left_s = health.sources.iter().filter_map(|source| source.report.retention_left_s).min();
    let least = left_s.map(|left_s| fill(texts.least_retention, &[&texts.span(left_s)]));
    let too_old = (expired > 0).then(|| fill(texts.too_old, &[&count(expired)]));
    let more = [least, too_old].into_iter().flatten().collect::<Vec<_>>().join("; ");
    let class = if at_risk > 0 { "bad" } else { "" };
    let chart = COUNT.chart(texts, past, texts.lost_or_expiring, &[&|frame| frame.at_risk]);
    tile(class, texts.lost_or_expiring, &value, &more, &chart)
}

fn rejected(texts: &Texts, health: &Health, past: &Past) -> Markup {
    let rejected: u64 = health.lanes.iter().map(|lane| lane.report.buried).sum();
    let stored: u64 = health.dead_letters.iter().map(|letters| letters.count).sum();
    let class = if stored > 0 { "bad" } else { "" };
    let chart = COUNT.chart(texts, past, texts.rejected, &[&|frame| frame.rejected]);
    tile(class, texts.rejected, &count(rejected), &fill(texts.stored_dead_letters, &[&count(stored)]), &chart)
}
