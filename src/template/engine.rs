//! The settings of the language that all expressions share: what an undefined value is, how long an evaluation may
//! take, and where a mistake is.

use std::fmt;

use minijinja::{Environment, Error, UndefinedBehavior};

/// The limit of steps for one evaluation. A filter needs dozens.
const FUEL: u64 = 20_000;

/// An environment with these settings. A missing value, and any part of it, is undefined, which counts as false:
/// events of other types lack what an expression asks for.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    // Errors then know their column.
    environment.set_debug(true);
    environment
}

/// A mistake in what an operator has written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mistake {
    /// `column 7`, or `line 2, column 7` if there is more than one line.
    place: String,
    text: String,
}

impl Mistake {
    /// The mistake at the byte `offset` of `source`.
    pub(super) fn at(source: &str, offset: usize, text: String) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let place = if source.trim_end().contains('\n') {
            format!("line {}, column {column}", before.matches('\n').count() + 1)
        } else {
            format!("column {column}")
        };
        Self { place, text }
    }

    /// The mistake behind `error`, with its details. They may quote values of the event.
    pub(super) fn detailed(source: &str, error: &Error) -> Self {
        let text = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self::of(source, error, text)
    }

    /// Like [`Mistake::detailed`], but without values of the event: they must not be in the log.
    pub(super) fn discreet(source: &str, error: &Error) -> Self {
        Self::of(source, error, error.kind().to_string())
    }

    fn of(source: &str, error: &Error, text: String) -> Self {
        Self::at(source, error.range().map_or(0, |range| range.start), text)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}
