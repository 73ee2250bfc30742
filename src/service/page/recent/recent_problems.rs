//! The latest warnings and errors of the log, for the page. Lines about the same thing are one, with a count.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::wall_clock;

/// How many different lines are kept.
const COUNT_MAX: usize = 20;

/// How many characters of each line are kept.
const LENGTH_MAX: usize = 600;

/// One line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecentProblem {
    /// The time of the last such line, in Unix milliseconds.
    pub at_ms: i64,
    /// The time of the first one.
    pub first_ms: i64,
    /// How many there were.
    pub count: u64,
    /// Whether an operator must act.
    pub is_error: bool,
    /// The text of the last one.
    pub text: String,
    /// What it is about: the message, its code, the source and the sink. Errors and counts differ from line to line.
    pub subject: String,
}

/// The latest warnings and errors. Clones share them.
#[derive(Clone, Default)]
pub struct RecentProblems(Arc<Mutex<VecDeque<RecentProblem>>>);

impl RecentProblems {
    /// The kept lines, latest first.
    pub fn latest(&self) -> Vec<RecentProblem> {
        self.kept().iter().rev().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<RecentProblem>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for RecentProblems {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::WARN {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let Text { mut message, fields, subject } = text;
        let subject = format!("{message}{subject}");
        message.push_str(&fields);
        let (mut kept, now_ms) = (self.kept(), wall_clock::now_ms());
        let known = kept.iter().position(|other| other.subject == subject).and_then(|at| kept.remove(at));
        let (first_ms, count) = known.map_or((now_ms, 1), |known| (known.first_ms, known.count + 1));
        kept.push_back(RecentProblem {
            at_ms: now_ms,
            first_ms,
            count,
            is_error: level == Level::ERROR,
            text: message.chars().take(LENGTH_MAX).collect(),
            subject,
        });
        if kept.len() > COUNT_MAX {
            kept.pop_front();
        }
    }
}

/// Formats a line for people, with the message first.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    subject: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        if ["code", "source", "sink"].contains(&field.name()) {
            let _infallible = write!(self.subject, "\n{value:?}");
        }
        let _infallible = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}: {value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing::{error, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn lines_about_the_same_thing_are_one_with_a_count() {
        let problems = RecentProblems::default();
        let log = tracing_subscriber::registry().with(problems.clone());
        tracing::subscriber::with_default(log, || {
            for attempt in 1..=3 {
                error!(source = "sales", sink = "crm", "sink is held");
                warn!(source = "support", sink = "crm", attempt, "attempt failed");
            }
            for source in 0..COUNT_MAX - 1 {
                warn!(source, "another");
            }
            warn!(source = "support", sink = "crm", attempt = 4, "attempt failed");
        });
        let latest = problems.latest();
        assert_eq!(latest.len(), COUNT_MAX);
        assert!(latest[0].text.contains("attempt: 4") && latest[0].count == 4, "{:?}", latest[0]);
        assert!(latest[0].first_ms <= latest[0].at_ms && !latest[0].is_error);
        assert!(latest.iter().all(|problem| !problem.is_error), "the oldest one is gone");
    }
}
