//! The latest warnings and errors of the log, for whoever looks at the page and not at the log.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::wall_clock;

/// How many are kept.
const COUNT_MAX: usize = 20;

/// How many letters are kept of one.
const LENGTH_MAX: usize = 600;

/// One line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// A person must act.
    pub is_error: bool,
    /// What the log says.
    pub text: String,
}

/// See the top of this file. Clones share everything.
#[derive(Clone, Default)]
pub struct Troubles(Arc<Mutex<VecDeque<Trouble>>>);

impl Troubles {
    /// Those that are kept, latest first.
    pub fn latest(&self) -> Vec<Trouble> {
        self.kept().iter().rev().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Troubles {
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
        kept.push_back(Trouble {
            at_ms: wall_clock::now_ms(),
            is_error: level == Level::ERROR,
            text: message.chars().take(LENGTH_MAX).collect(),
        });
        if kept.len() > COUNT_MAX {
            kept.pop_front();
        }
    }
}

/// A line as it is read: the message first.
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
        // Writing to a text cannot fail.
        let _infallible = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}: {value:?}"),
        };
    }
}
