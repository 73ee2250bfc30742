//! What a command answers, to standard output, and what it remarks, to stderr. A reader who has seen
//! enough is no error.

use std::io::{self, ErrorKind, Write as _};

/// Prints `text` and a newline.
///
/// # Errors
/// When standard output cannot be written, but for a closed pipe.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Says `text` to whoever watches; when nobody does, nothing is lost.
pub fn remark(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}
