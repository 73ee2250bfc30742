//! Repeats a report: redrawn in place on a terminal, one after the other elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use terminal_size::{Height, Width, terminal_size_of};

use crate::cli::output::palette::{visible_in_colour, width};
use crate::cli::output::print::{Reader, json_for_stdout, write};
use crate::human::time;
use crate::shutdown::{Signals, Wake};
use crate::wall_clock::now_ms;

/// The accepted periods, in seconds.
const SECONDS_MIN: f64 = 0.1;
const SECONDS_MAX: f64 = 86_400.0;

/// The assumed size of a terminal that does not report its size.
const ROWS: usize = 24;
const COLUMNS: usize = 80;

/// The separator between two reports that are not redrawn in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Between {
    /// For people.
    BlankLine,
    /// For JSON: one line for each report.
    Nothing,
}

/// Parses the period.
pub(in crate::cli) fn period(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    let seconds = seconds.filter(|seconds| (SECONDS_MIN..=SECONDS_MAX).contains(seconds));
    let expected = || format!("must be a number of seconds, {SECONDS_MIN} to {SECONDS_MAX}");
    seconds.map(Duration::from_secs_f64).ok_or_else(expected)
}

/// Prints the result of `look` every `period`, until a stop signal or until nobody reads the output.
///
/// # Errors
/// Errors of `look`, and a standard output that cannot be written.
pub(in crate::cli) async fn watch(
    period: Duration,
    between: Between,
    signals: &Signals,
    mut look: impl FnMut() -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let is_drawn = between == Between::BlankLine && stdout().is_terminal();
    let mut is_first = true;
    loop {
        let nudges_seen = signals.nudge_count();
        let report = look()?;
        let report = match between {
            Between::BlankLine => visible_in_colour(&report),
            Between::Nothing => json_for_stdout(&report).into_owned(),
        };
        let shown = match between {
            _ if is_drawn => {
                let foot = format!("{}, again every {} s; Ctrl-C ends", time(now_ms()), period.as_secs_f64());
                frame(&format!("{report}\n\n{foot}"), is_first, size())
            }
            Between::BlankLine if !is_first => format!("\n{report}\n"),
            Between::BlankLine | Between::Nothing => format!("{report}\n"),
        };
        let reader = write(shown.as_bytes())?;
        is_first = false;
        if reader == Reader::Gone || signals.pause(period, nudges_seen).await == Wake::Stopping {
            return Ok(());
        }
    }
}

/// The terminal's rows and columns.
fn size() -> (usize, usize) {
    terminal_size_of(stdout()).map_or((ROWS, COLUMNS), |(Width(columns), Height(rows))| {
        (usize::from(rows).max(2), usize::from(columns).max(1))
    })
}

/// The bytes that draw `text` over the previous report. Nothing is cleared before it is written again, so the terminal
/// does not flicker. Lines that do not fit are left out, because the terminal would scroll.
fn frame(text: &str, is_first: bool, (rows, columns): (usize, usize)) -> String {
    let mut frame = if is_first { "\u{1b}[2J\u{1b}[H" } else { "\u{1b}[H" }.to_owned();
    let lines: Vec<&str> = text.lines().collect();
    let taken = |line: &&str| width(line).div_ceil(columns).max(1);
    // The cursor stays in a row of its own.
    let room = rows - 1;
    let fits = lines.iter().map(taken).sum::<usize>() <= room;
    let mut left = if fits { room } else { room - 1 };
    let is_shown = |line: &&&str| {
        let rest = left.checked_sub(taken(line));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    let shown: Vec<&&str> = lines.iter().take_while(is_shown).collect();
    for line in &shown {
        // Clears the rest of the row, because the previous line may have been longer. Writing to a string cannot fail.
        writeln!(frame, "{line}\u{1b}[K").ok();
    }
    if !fits {
        writeln!(frame, "... and {} more lines\u{1b}[K", lines.len() - shown.len()).ok();
    }
    frame + "\u{1b}[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(frame: &str) -> Vec<&str> {
        let drawn = frame.strip_prefix("\u{1b}[H").unwrap().strip_suffix("\u{1b}[J").unwrap();
        drawn.split_terminator("\u{1b}[K\n").collect()
    }

    #[test]
    fn what_has_no_room_is_left_out_and_counted() {
        let text = "1\n2\n3\n4";
        assert_eq!(lines(&frame(text, false, (5, 80))), ["1", "2", "3", "4"]);
        assert_eq!(lines(&frame(text, false, (4, 80))), ["1", "2", "... and 2 more lines"]);
        assert_eq!(lines(&frame(text, false, (2, 80))), ["... and 4 more lines"]);
        // A line of 20 columns takes three rows of 8, with or without colours.
        let text = "12345678901234567890\n\u{1b}[32m12345678\u{1b}[0m\n3";
        assert_eq!(lines(&frame(text, false, (6, 8))).len(), 3);
        assert_eq!(lines(&frame(text, false, (5, 8))), ["12345678901234567890", "... and 2 more lines"]);
    }

    #[test]
    fn only_the_first_frame_wipes_the_screen() {
        assert_eq!(frame("1", true, (5, 80)), "\u{1b}[2J\u{1b}[H1\u{1b}[K\n\u{1b}[J");
        assert!(!frame("1", false, (5, 80)).contains("[2J"));
    }

    #[test]
    fn a_period_is_a_number_of_seconds() {
        assert_eq!(period("2"), Ok(Duration::from_secs(2)));
        assert_eq!(period("0.5s"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "86401", "soon", ""] {
            assert!(period(text).is_err(), "{text}");
        }
    }
}
