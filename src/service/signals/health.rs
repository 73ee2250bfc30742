//! The health of the running daemon: [`crate::health`] for its sources and lanes, and facts that only the process
//! knows: whether it is stopping, whether its loops are active, and whether an attempt hangs.

use std::time::Duration;

use b24_client::foreign_text::plain;

use crate::health::{Condition, Grade, Health, SourceState};
use crate::human::span;
use crate::service::view::View;
use crate::store::StoreError;
use crate::wall_clock;

/// A receiver's timeout is at most five minutes, and a token may have to be fetched first. Standard output and files
/// have no timeout.
const ATTEMPT_MAX: Duration = Duration::from_secs(600);

/// The health of the daemon in a word.
pub(crate) fn condition(view: &View, health: &Health) -> Condition {
    if view.telemetry.liveness.is_draining() {
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

/// All problems, most severe first.
pub(crate) fn problems(view: &View, health: &Health) -> Vec<String> {
    let degraded = health.problems().into_iter().filter(|problem| problem.grade != Grade::ActionRequired);
    actions(view, health).into_iter().chain(degraded.map(|problem| problem.text)).collect()
}

/// The reasons to restart the process; empty if there are none.
pub(crate) fn wedged(view: &View) -> Vec<String> {
    let overdue = view.telemetry.liveness.overdue().into_iter();
    overdue.map(|source| format!("the poll loop of `{source}` hangs")).collect()
}

/// The reasons why the process is not ready; empty if it is.
pub(crate) fn unready(view: &View, health: &Health) -> Vec<String> {
    let mut reasons = Vec::new();
    if view.telemetry.liveness.is_draining() {
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
    is_starting || !view.telemetry.liveness.is_up()
}

/// The problems that need an operator.
fn actions(view: &View, health: &Health) -> Vec<String> {
    let problems = health.problems().into_iter().filter(|problem| problem.grade == Grade::ActionRequired);
    problems.map(|problem| problem.text).chain(hanging(view)).collect()
}

/// The sinks with an attempt that has lasted longer than any timeout allows.
fn hanging(view: &View) -> impl Iterator<Item = String> {
    let longest = view.telemetry.metrics.longest_attempts().into_iter();
    longest.filter(|(_, duration)| *duration > ATTEMPT_MAX).map(|(sink, duration)| {
        let length = span(duration.as_secs().try_into().unwrap_or(i64::MAX));
        format!("sink `{sink}` hangs: an attempt has been under way for {length}")
    })
}

/// The health of everything that is configured.
pub(crate) async fn health(view: &View) -> Result<Health, StoreError> {
    let report = view.telemetry.active_config.retain_configured(view.reader.report().await?);
    Ok(Health::of(report, wall_clock::now_ms()))
}

/// The whole health in one line.
pub(crate) async fn in_a_word(view: &View) -> String {
    if !view.telemetry.liveness.is_up() {
        return "starting: not every source was tried yet".to_owned();
    }
    // A line break would start another message to the service manager.
    plain(&match health(view).await {
        Ok(health) => summary(view, &health),
        Err(error) => error.to_string(),
    })
}

fn summary(view: &View, health: &Health) -> String {
    let problems = problems(view, health);
    let condition = condition(view, health);
    if condition == Condition::Healthy {
        let delivered: u64 = health.lanes.iter().map(|lane| lane.report.delivered).sum();
        let sources = match health.sources.len() {
            1 => "1 source".to_owned(),
            count => format!("{count} sources"),
        };
        return format!("{sources}, {delivered} events delivered");
    }
    let word = match condition {
        Condition::Degraded => "degraded",
        other => other.word(),
    };
    match problems.as_slice() {
        [] => word.to_owned(),
        [problem] => format!("{word}: {problem}"),
        [first, others @ ..] => format!("{word}: {first} (and {} more)", others.len()),
    }
}
