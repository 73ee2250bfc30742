//! The sources as a table, the worst first. Healthy ones are folded, and a search by name works without a script.

use maud::{Markup, html};

use crate::health::{GAPS_MAX, Health, SourceHealth, SourceState};
use crate::service::page::markup::{class, words};
use crate::service::page::texts::{Texts, count, fill};
use crate::service::view::View;
use crate::store::{GapReport, LIFETIME_S, SourceReport};

/// How many rows are shown; further ones are folded.
const SHOWN_MAX: usize = 20;

/// How many rows with problems are shown; further ones are folded, each with the beginning of its error.
const TROUBLED_MAX: usize = 50;

/// How many rows the page has at most; a search finds the others.
const ROWS_MAX: usize = 600;

/// How many characters of an error a folded row shows.
const SHORT: usize = 100;

/// The sources of `health` whose name, queue or user contains `query`.
pub(crate) fn sources(texts: &Texts, view: &View, health: &Health, query: &str) -> Markup {
    let all = health.sources_by_severity();
    let found: Vec<&SourceHealth> = all.iter().copied().filter(|source| matches(source, query)).collect();
    let table = Table { texts, view, health };
    html! {
        section class="plain" {
            div class="heading" {
                h2 { (texts.sources) }
                form method="get" action="./" role="search" {
                    input type="search" name="q" value=(query) maxlength="100" aria-label=(texts.search) placeholder=(texts.search);
                    button { (texts.search_button) }
                    @if !query.is_empty() { a href="./" { (texts.show_all) } }
                }
            }
            div id="sources" data-part {
                @if !query.is_empty() { p class="dim" { (fill(texts.found, &[&count(found.len() as u64)])) } }
                @if health.sources.is_empty() { p class="dim" { (texts.none_polled) } }
                (table.of(&found, query.is_empty()))
            }
        }
    }
}

fn matches(source: &SourceHealth, query: &str) -> bool {
    let query = query.to_lowercase();
    let SourceReport { name, identity, user, .. } = &source.report;
    [Some(name), Some(identity), user.as_ref()]
        .into_iter()
        .flatten()
        .any(|text| text.to_lowercase().contains(&query))
}

struct Table<'p> {
    texts: &'p Texts,
    view: &'p View,
    health: &'p Health,
}

impl Table<'_> {
    fn of(&self, sources: &[&SourceHealth], folds: bool) -> Markup {
        let listed = &sources[..sources.len().min(ROWS_MAX)];
        let troubled = listed.iter().take_while(|source| !source.is_well()).count();
        let shown = if folds { troubled.clamp(SHOWN_MAX, TROUBLED_MAX) } else { ROWS_MAX }.min(listed.len());
        let (shown, folded) = listed.split_at(shown);
        let (bad, well) = folded.split_at(troubled.saturating_sub(shown.len()));
        let texts = self.texts;
        html! {
            @if !shown.is_empty() { (self.rows(shown, usize::MAX)) }
            @for (id, name, rows) in [("bad", texts.other_sources, bad), ("well", texts.healthy_sources, well)] {
                @if !rows.is_empty() {
                    details id=(id) {
                        summary id={ (id) "-summary" } { (fill(name, &[&count(rows.len() as u64)])) }
                        (self.rows(rows, SHORT))
                    }
                }
            }
            @if sources.len() > listed.len() {
                p class="dim" { (fill(texts.not_shown, &[&count((sources.len() - listed.len()) as u64)])) }
            }
        }
    }

    fn rows(&self, sources: &[&SourceHealth], length_max: usize) -> Markup {
        let texts = self.texts;
        html! {
            table {
                thead { tr {
                    th scope="col" { (texts.source) }
                    th scope="col" { (texts.state) }
                    @for name in columns(texts) { th scope="col" { (name) } }
                } }
                tbody { @for source in sources { (self.row(source, length_max)) } }
            }
        }
    }

    fn row(&self, source: &SourceHealth, length_max: usize) -> Markup {
        let (texts, health, report) = (self.texts, self.health, &source.report);
        // By the portal's clock, the age can be negative.
        let lag = report.covered_ms.map(|ms| texts.since(health, ms.saturating_sub(report.skew_ms)));
        let used = self.view.telemetry.metrics.budget_used(&report.name);
        let mut told = losses(report);
        if source.state != SourceState::Polling && !source.trouble.is_empty() {
            told.insert(0, source.trouble.clone());
        }
        html! {
            tr {
                th scope="row" {
                    (report.name)
                    small { (report.identity) @if let Some(user) = &report.user { ", " (user) } }
                }
                td { span class={ "state " (class(source.grade)) } { (texts.source_state(source.state, &source.label)) } }
                td { (report.polled_ms.map_or_else(|| texts.never.to_owned(), |ms| texts.ago(health, ms))) }
                td { (lag.as_deref().unwrap_or("-")) }
                (self.retention(report))
                td { (self.journal(report)) }
                td { @if let Some(used) = used { (bar(used)) (percent(used)) " %" } @else { "-" } }
            }
            @for text in &told {
                tr class="trouble" { td colspan="7" { (words(&shortened(text, length_max))) } }
            }
        }
    }

    fn retention(&self, source: &SourceReport) -> Markup {
        match source.retention_left_s {
            None => html! { td { "-" } },
            Some(..=0) => html! { td class="bad" { (self.texts.events_are_lost) } },
            Some(left_s) => html! { td { (bar(share(left_s))) (self.texts.span(left_s)) } },
        }
    }

    fn journal(&self, source: &SourceReport) -> String {
        match source.journal_events {
            0 => self.texts.empty.to_owned(),
            events => {
                let events = fill(self.texts.events, &[&count(events)]);
                format!("{events}, {}", self.texts.size(source.journal_bytes))
            }
        }
    }
}

/// The headings of the columns after the name and the state. A narrow screen has them in each row.
pub(crate) fn columns(texts: &Texts) -> [&'static str; 5] {
    [texts.last_poll, texts.lag, texts.retention, texts.journal, texts.budget]
}

#[expect(clippy::cast_precision_loss, reason = "it becomes a bar of some pixels")]
fn share(left_s: i64) -> f64 {
    left_s as f64 / LIFETIME_S as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a percentage")]
fn percent(share: f64) -> u32 {
    (share * 100.0).round().clamp(0.0, 999.0) as u32
}

/// A bar of this length. The number stands beside it.
fn bar(share: f64) -> Markup {
    html! { meter value=(percent(share).min(100)) max="100" aria-hidden="true" {} }
}

fn shortened(text: &str, length_max: usize) -> String {
    match text.char_indices().nth(length_max) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
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
