//! Colours for states on a terminal: green is healthy, yellow recovers on its own, red needs an operator.

use std::io::{IsTerminal as _, stdout};

use anstream::{AutoStream, ColorChoice};
use b24_client::foreign_text::visible;

/// The severity of a state.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Hue {
    Green,
    Yellow,
    Red,
}

/// Whether output is coloured.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Palette {
    Plain,
    Coloured,
}

impl Palette {
    /// Colours on a terminal that supports them, unless `NO_COLOR` or a similar variable is set.
    pub(in crate::cli) fn of_stdout() -> Self {
        let stdout = stdout();
        if stdout.is_terminal() && AutoStream::choice(&stdout) != ColorChoice::Never {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    /// `text` in `hue`.
    pub(in crate::cli) fn paint(self, hue: Hue, text: &str) -> String {
        let code = match (self, hue) {
            (Self::Plain, _) => return text.to_owned(),
            (Self::Coloured, Hue::Green) => 32,
            (Self::Coloured, Hue::Yellow) => 33,
            (Self::Coloured, Hue::Red) => 31,
        };
        // The painted text may be foreign, so its control characters are removed. The escape sequences are our own.
        format!("\u{1b}[{code}m{}\u{1b}[0m", visible(text))
    }

    /// `text` with its first word in `hue`.
    pub(in crate::cli) fn paint_word(self, hue: Hue, text: &str) -> String {
        let end = text.find([' ', ';', ':']).unwrap_or(text.len());
        self.paint(hue, &text[..end]) + &text[end..]
    }
}

/// Applies [`visible`] to all of `text` except the palette's escape sequences.
pub(in crate::cli) fn visible_in_colour(text: &str) -> String {
    const OURS: [&str; 4] = ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[0m"];
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((at, ours)) = OURS.iter().filter_map(|ours| Some((rest.find(ours)?, ours))).min() {
        shown.push_str(&visible(&rest[..at]));
        shown.push_str(ours);
        rest = &rest[at + ours.len()..];
    }
    shown + &visible(rest)
}

/// How many columns `line` takes, without its colours.
pub(in crate::cli) fn width(line: &str) -> usize {
    let mut is_escape = false;
    let is_shown = |c: &char| {
        let was_escape = is_escape;
        is_escape = *c == '\u{1b}' || (is_escape && *c != 'm');
        !was_escape && !is_escape
    };
    line.chars().filter(is_shown).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_but_a_colour_reaches_a_terminal() {
        let text = format!("a\u{1b}[2J\r{}\u{202e}", Palette::Coloured.paint(Hue::Red, "b\u{1b}[32mc"));
        assert_eq!(visible_in_colour(&text), "a\\u001b[2J\\u000d\u{1b}[31mb\\u001b[32mc\u{1b}[0m\\u202e");
    }

    #[test]
    fn colours_take_no_room() {
        let painted = Palette::Coloured.paint_word(Hue::Red, "held since noon");
        assert_eq!(painted, "\u{1b}[31mheld\u{1b}[0m since noon");
        assert_eq!(width(&painted), "held since noon".len());
        assert_eq!(Palette::Plain.paint_word(Hue::Red, "held"), "held");
        assert_eq!(width(""), 0);
    }
}
