//! What a command answers, to standard output, and what it remarks, to stderr. A reader who has seen
//! enough is no error.

use std::io::{self, ErrorKind};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use clap::builder::StyledStr;

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
    write(format!("{text}\n").as_bytes()).map(|_| ())
}

/// Says `text` to whoever watches; when nobody does, nothing is lost.
pub fn remark(text: &str) {
    stderr::write(&format!("{text}\n"));
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
