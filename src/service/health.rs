//! The verdicts on what there is to see: does it turn, is it ready, and in a word.

use std::time::Duration;

use super::View;
use crate::foreign_text::plain;
use crate::spelling::span;
use crate::store::{LaneReport, Report, SourceReport, StoreError};

/// A receiver's timeout is five minutes at most, with a token to be fetched first; standard output and files have none.
const ATTEMPT_MAX: Duration = Duration::from_secs(600);

/// How it is, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// A stop was asked for.
    Stopping,
    /// Something waits for a person.
    NeedsPerson,
    /// Not every source was tried yet.
    Starting,
    /// Something is in trouble that heals by itself.
    Healing,
    /// Nothing is in trouble.
    Flowing,
}

/// How it is.
pub fn condition(view: &View, report: &Report) -> Condition {
    let vitals = &view.witness.vitals;
    if vitals.is_draining() {
        Condition::Stopping
    } else if !for_a_person(view, report).is_empty() {
        Condition::NeedsPerson
    } else if !vitals.is_up() {
        Condition::Starting
    } else if !troubles(report).is_empty() {
        Condition::Healing
    } else {
        Condition::Flowing
    }
}

/// All that is in trouble.
pub fn troubles(report: &Report) -> Vec<String> {
    let sources = report.sources.iter().filter(|source| !source.trouble.is_empty()).map(of_source);
    sources.chain(report.lanes.iter().filter(|lane| !lane.trouble.is_empty()).map(of_lane)).collect()
}

fn of_source(source: &SourceReport) -> String {
    format!("source `{}`: {}", source.name, source.trouble)
}

fn of_lane(lane: &LaneReport) -> String {
    format!("sink `{}` for `{}` is {}: {}", lane.sink, lane.source, lane.state, lane.trouble)
}

/// Why the process should be restarted; empty when it should not.
pub fn wedged(view: &View) -> Vec<String> {
    let overdue = view.witness.vitals.overdue().into_iter();
    overdue.map(|source| format!("the poll loop of `{source}` does not turn any more")).collect()
}

/// Why the process is not ready; empty when it is.
pub fn unready(view: &View, report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    if view.witness.vitals.is_draining() {
        reasons.push("a stop was asked for: finishing what is under way".to_owned());
    }
    if !view.witness.vitals.is_up() {
        reasons.push("starting: not every source was tried yet".to_owned());
    }
    reasons.extend(for_a_person(view, report));
    reasons
}

/// What does not heal by itself.
fn for_a_person(view: &View, report: &Report) -> Vec<String> {
    let sources = report.sources.iter().filter(|source| view.witness.figures.needs_person(&source.name));
    let lanes = report.lanes.iter().filter(|lane| matches!(lane.state.as_str(), "held" | "paused"));
    let state = report.trouble.iter();
    let state = state.map(|reason| format!("nothing goes on until the state can be written: {reason}"));
    state.chain(sources.map(of_source)).chain(lanes.map(of_lane)).chain(hanging(view)).collect()
}

/// The sinks with an attempt that has been under way for longer than any that ends by itself.
fn hanging(view: &View) -> impl Iterator<Item = String> {
    let longest = view.witness.figures.longest_attempts().into_iter();
    longest.filter(|(_, duration)| *duration > ATTEMPT_MAX).map(|(sink, duration)| {
        let length = span(duration.as_secs().try_into().unwrap_or(i64::MAX));
        format!("sink `{sink}` hangs: an attempt has been under way for {length}")
    })
}

/// What the state file says of what is in force.
///
/// # Errors
/// See [`StoreError`].
pub async fn report(view: &View) -> Result<Report, StoreError> {
    Ok(view.witness.roster.sift(view.lookout.report().await?))
}

/// All of it in one line.
pub async fn in_a_word(view: &View) -> String {
    if !view.witness.vitals.is_up() {
        return "starting: not every source was tried yet".to_owned();
    }
    // A line break would begin another message to the service manager.
    plain(&match report(view).await {
        Ok(report) => summary(view, &report),
        Err(error) => error.to_string(),
    })
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn summary(view: &View, report: &Report) -> String {
    let reasons = for_a_person(view, report);
    let Some(first) = reasons.first() else {
        let delivered: u64 = report.lanes.iter().map(|lane| lane.delivered).sum();
        let trouble = match troubles(report).len() {
            0 => String::new(),
            count => format!("; {count} in trouble, which heals by itself: `b24relay status`"),
        };
        return format!("{}, {delivered} events delivered{trouble}", counted(report.sources.len(), "source"));
    };
    match reasons.len() {
        1 => format!("a person is needed: {first}"),
        count => format!("a person is needed: {first} (and {} more)", count - 1),
    }
}
