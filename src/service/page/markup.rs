//! Markup that several parts of the page use.

use maud::{Markup, html};

use crate::health::Grade;

/// A sentence, with text in backticks marked up.
pub(crate) fn words(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// The class of a grade: its colour.
pub(crate) fn class(grade: Grade) -> &'static str {
    match grade {
        Grade::Healthy => "good",
        Grade::Degraded => "wait",
        Grade::ActionRequired => "bad",
    }
}
