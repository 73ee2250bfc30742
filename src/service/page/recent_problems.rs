//! The latest warnings and errors of the log, for the page.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::wall_clock;

/// How many lines are kept.
const COUNT_MAX: usize = 20;

/// How many characters of each line are kept.
const LENGTH_MAX: usize = 600;

/// One line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecentProblem {
    /// Its time, in Unix milliseconds.
    pub at_ms: i64,
    /// Whether an operator must act.
    pub is_error: bool,
    /// The text of the line.
    pub text: String,
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
        let Text { mut message, fields } = text;
        message.push_str(&fields);
        let mut kept = self.kept();
        kept.push_back(RecentProblem {
            at_ms: wall_clock::now_ms(),
            is_error: level == Level::ERROR,
            text: message.chars().take(LENGTH_MAX).collect(),
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
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _infallible = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}: {value:?}"),
        };
    }
}
