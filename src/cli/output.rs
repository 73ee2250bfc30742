//! What a command answers, to standard output, and what it remarks, to stderr. A reader who has seen
//! enough is no error. Whatever foreign text is in an answer, a terminal obeys none of it.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal as _};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use clap::builder::StyledStr;
use serde::Serialize;

use super::palette::visible_in_colour;
use crate::foreign_text::{visible, visible_json};
use crate::stdio::{self, stderr};

/// Whoever reads standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Reading,
    Gone,
}

/// Writes `bytes` as they are, and says whether anybody reads them.
///
/// # Errors
/// When standard output cannot be written, but for a closed pipe.
pub fn write(bytes: &[u8]) -> io::Result<Reader> {
    match stdio::write_all(io::stdout(), bytes) {
        Ok(()) => Ok(Reader::Reading),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// Prints `text` and a newline, whether anybody reads it or not.
///
/// # Errors
/// As [`write`].
pub fn print(text: &str) -> io::Result<()> {
    write(format!("{}\n", visible_in_colour(text)).as_bytes()).map(|_| ())
}

/// Prints `value` as JSON spread over lines.
///
/// # Errors
/// As [`write`].
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    print_raw_json(&serde_json::to_string_pretty(value)?)
}

/// Prints `json` and a newline: byte for byte, but on a terminal.
///
/// # Errors
/// As [`write`].
pub fn print_raw_json(json: &str) -> io::Result<()> {
    write(format!("{}\n", json_for_stdout(json)).as_bytes()).map(|_| ())
}

/// `json` as it is, or for a terminal as [`visible_json`].
pub fn json_for_stdout(json: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { visible_json(json) } else { json.into() }
}

/// Says `text` to whoever watches; when nobody does, nothing is lost.
pub fn remark(text: &str) {
    stderr::write(&format!("{}\n", visible(text)));
}

/// Shows the help that somebody asked for on standard output, and what is wrong with the arguments on standard error.
pub fn explain(error: &clap::Error) {
    let text = error.render();
    if error.use_stderr() {
        stderr::write(&coloured(&text, &io::stderr()));
    } else {
        // Help that nobody reads to its end is no failure.
        write(coloured(&text, &io::stdout()).as_bytes()).ok();
    }
}

fn coloured(text: &StyledStr, stream: &impl RawStream) -> String {
    match AutoStream::choice(stream) {
        ColorChoice::Never => text.to_string(),
        _ => text.ansi().to_string(),
    }
}
