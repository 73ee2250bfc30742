//! Markup that several parts of the page use.

use maud::{Markup, html};

/// A sentence, with text in backticks marked up.
pub(crate) fn words(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
