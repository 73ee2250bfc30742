//! What a command answers, to standard output, and what it remarks, to stderr. A reader who has seen
//! enough is no error.

use std::io::{self, ErrorKind, Write as _};

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
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
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
    writeln!(io::stderr(), "{text}").ok();
}
