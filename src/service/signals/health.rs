//! How the running daemon is: what [`crate::health`] says of its sources and lanes, with what only the process itself
//! knows: whether it stops, whether its loops turn, and whether an attempt hangs.

use std::time::Duration;

use crate::foreign_text::plain;
use crate::health::{Grade, Health, SourceState};
use crate::service::view::View;
use crate::spelling::span;
use crate::store::StoreError;
use crate::wall_clock;

/// A receiver's timeout is five minutes at most, with a token to be fetched first; standard output and files have none.
const ATTEMPT_MAX: Duration = Duration::from_secs(600);

/// How the daemon is, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// A stop was asked for.
    Stopping,
    /// Something needs a person.
    ActionRequired,
    /// Not every source was tried yet.
    Starting,
    /// Something is in trouble, and recovers by itself.
    Degraded,
    /// Nothing is in trouble.
    Healthy,
}

/// How the daemon is.
pub fn condition(view: &View, health: &Health) -> Condition {
    if view.witness.vitals.is_draining() {
        Condition::Stopping
    } else if !actions(view, health).is_empty() {
        Condition::ActionRequired
    } else if is_starting(view, health) {
        Condition::Starting
    } else if health.grade == Grade::Healthy {
        Condition::Healthy
    } else {
        Condition::Degraded
    }
}

/// All that is wrong, the worst first.
pub fn problems(view: &View, health: &Health) -> Vec<String> {
    let degraded = health.problems().into_iter().filter(|problem| problem.grade != Grade::ActionRequired);
    actions(view, health).into_iter().chain(degraded.map(|problem| problem.text)).collect()
}

/// Why the process should be restarted; empty when it should not.
pub fn wedged(view: &View) -> Vec<String> {
    let overdue = view.witness.vitals.overdue().into_iter();
    overdue.map(|source| format!("the poll loop of `{source}` does not turn any more")).collect()
}

/// Why the process is not ready; empty when it is.
pub fn unready(view: &View, health: &Health) -> Vec<String> {
    let mut reasons = Vec::new();
    if view.witness.vitals.is_draining() {
        reasons.push("a stop was asked for: finishing what is under way".to_owned());
    }
    if is_starting(view, health) {
        reasons.push("starting: not every source was tried yet".to_owned());
    }
    reasons.extend(actions(view, health));
    reasons
}

fn is_starting(view: &View, health: &Health) -> bool {
    let is_starting = health.sources.iter().any(|source| source.state == SourceState::Starting);
    is_starting || !view.witness.vitals.is_up()
}

/// What needs a person.
fn actions(view: &View, health: &Health) -> Vec<String> {
    let problems = health.problems().into_iter().filter(|problem| problem.grade == Grade::ActionRequired);
    problems.map(|problem| problem.text).chain(hanging(view)).collect()
}

/// The sinks with an attempt that has been under way for longer than any that ends by itself.
fn hanging(view: &View) -> impl Iterator<Item = String> {
    let longest = view.witness.figures.longest_attempts().into_iter();
    longest.filter(|(_, duration)| *duration > ATTEMPT_MAX).map(|(sink, duration)| {
        let length = span(duration.as_secs().try_into().unwrap_or(i64::MAX));
        format!("sink `{sink}` hangs: an attempt has been under way for {length}")
    })
}

/// How all is that is configured.
///
/// # Errors
/// See [`StoreError`].
pub async fn health(view: &View) -> Result<Health, StoreError> {
    let report = view.witness.roster.sift(view.lookout.report().await?);
    Ok(Health::of(report, wall_clock::now_ms()))
}

/// All of it in one line.
pub async fn in_a_word(view: &View) -> String {
    if !view.witness.vitals.is_up() {
        return "starting: not every source was tried yet".to_owned();
    }
    // A line break would begin another message to the service manager.
    plain(&match health(view).await {
        Ok(health) => summary(view, &health),
        Err(error) => error.to_string(),
    })
}

fn summary(view: &View, health: &Health) -> String {
    let problems = problems(view, health);
    let word = match condition(view, health) {
        Condition::Stopping => "stopping",
        Condition::ActionRequired => "action required",
        Condition::Starting => "starting",
        Condition::Degraded => "degraded",
        Condition::Healthy => {
            let delivered: u64 = health.lanes.iter().map(|lane| lane.report.delivered).sum();
            let sources = match health.sources.len() {
                1 => "1 source".to_owned(),
                count => format!("{count} sources"),
            };
            return format!("{sources}, {delivered} events delivered");
        }
    };
    match problems.as_slice() {
        [] => word.to_owned(),
        [problem] => format!("{word}: {problem}"),
        [first, others @ ..] => format!("{word}: {first} (and {} more)", others.len()),
    }
}
