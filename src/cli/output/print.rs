//! Writes the answer of a command to standard output and remarks to stderr. A reader that stops early is not an error.
//! Control characters in foreign text never reach a terminal.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal as _};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use b24_client::foreign_text::{visible, visible_json};
use clap::builder::StyledStr;
use serde::Serialize;

use crate::cli::exit_code::Exit;
use crate::cli::output::palette::visible_in_colour;
use crate::stdio::{self, stderr};

/// The reader of standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Reader {
    Reading,
    Gone,
}

/// Writes `bytes` unchanged, and returns whether anyone still reads them.
///
/// # Errors
/// When standard output cannot be written. A closed pipe is not an error.
pub(in crate::cli) fn write(bytes: &[u8]) -> io::Result<Reader> {
    match stdio::write_all(io::stdout(), bytes) {
        Ok(()) => Ok(Reader::Reading),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// Prints `text` and a newline. A closed pipe is not an error.
pub(in crate::cli) fn print(text: &str) -> io::Result<()> {
    write(format!("{}\n", visible_in_colour(text)).as_bytes()).map(|_| ())
}

/// Prints `value` as JSON with line breaks.
pub(in crate::cli) fn print_json(value: &impl Serialize) -> io::Result<()> {
    print_raw_json(&serde_json::to_string_pretty(value)?)
}

/// Prints `json` and a newline: byte for byte, except on a terminal.
pub(in crate::cli) fn print_raw_json(json: &str) -> io::Result<()> {
    write(format!("{}\n", json_for_stdout(json)).as_bytes()).map(|_| ())
}

/// Returns `json` unchanged, or for a terminal as [`visible_json`].
pub(in crate::cli) fn json_for_stdout(json: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { visible_json(json) } else { json.into() }
}

/// Prints `text` to stderr and ignores a failure.
pub(in crate::cli) fn remark(text: &str) {
    stderr::write(&format!("{}\n", visible(text)));
}

/// Prints requested help to standard output, and an error in the arguments to stderr.
pub(in crate::cli) fn explain(error: &clap::Error) {
    let text = error.render();
    if error.use_stderr() {
        let code = format!("error[{}]:", Exit::Usage.code());
        stderr::write(&coloured(&text, &io::stderr()).replacen("error:", &code, 1));
    } else {
        // A reader may stop before the end of the help.
        write(coloured(&text, &io::stdout()).as_bytes()).ok();
    }
}

fn coloured(text: &StyledStr, stream: &impl RawStream) -> String {
    match AutoStream::choice(stream) {
        ColorChoice::Never => text.to_string(),
        _ => text.ansi().to_string(),
    }
}
