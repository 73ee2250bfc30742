//! The destination of log lines. For journald, each line starts with its priority, so that `journalctl -p warning`
//! finds it.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;

use b24_client::foreign_text::visible_json;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::stdio::stderr;

/// Standard error, and whether journald reads it.
pub(super) struct Stderr {
    is_journal: bool,
}

/// One line.
pub(super) struct Line {
    /// The priority, which journald removes again (sd-daemon(3)).
    prefix: &'static str,
}

impl Stderr {
    /// Standard error in the state in which the process inherited it.
    #[expect(clippy::disallowed_methods, reason = "said by the service manager, not by an operator")]
    pub(super) fn new() -> Self {
        let journal = std::env::var("JOURNAL_STREAM").ok();
        let ours = std::fs::metadata("/proc/self/fd/2").ok();
        let ours = ours.map(|metadata| format!("{}:{}", metadata.dev(), metadata.ino()));
        // The variable may be inherited by a process whose standard error is another file.
        Self { is_journal: journal.is_some() && journal == ours }
    }
}

impl<'w> MakeWriter<'w> for Stderr {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line { prefix: "" }
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> Line {
        let prefix = match *metadata.level() {
            _ if !self.is_journal => "",
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            Level::DEBUG | Level::TRACE => "<7>",
        };
        Line { prefix }
    }
}

impl Write for Line {
    /// The formatter passes a whole line, in which ASCII control characters are already escaped.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        stderr::log([self.prefix.as_bytes(), visible_json(&text).as_bytes()].concat());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
