//! Standard output: one line per event, flushed before it counts as delivered.

use std::io::{self, ErrorKind, IsTerminal as _};

use async_trait::async_trait;

use crate::blocking;
use crate::config::StdoutConfig;
use crate::event::Event;
use crate::sink::contract::DeliverError;
use crate::sink::contract::Mark;
use crate::sink::contract::Sink;
use crate::sink::text_format;
use crate::stdio;

/// The maximum number of events in one attempt.
const EVENTS_MAX: usize = 1000;

/// The `stdout` sink.
pub(super) struct StdoutSink {
    config: StdoutConfig,
}

impl StdoutSink {
    pub(super) fn new(config: StdoutConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Sink for StdoutSink {
    /// A killed process repeats the events in flight, so their number is limited to the portal's largest
    /// page.
    fn attempt_max(&self) -> usize {
        EVENTS_MAX
    }

    async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError> {
        let mut lines = Vec::new();
        for event in events {
            text_format::write_as(self.config.format, event, &mut lines);
        }
        let lines = if io::stdout().is_terminal() { text_format::for_terminal(&lines) } else { lines };
        // A retry after an error could split a line, so every error is final.
        blocking::run(move || stdio::write_all(io::stdout(), &lines))
            .await
            .map(|()| None)
            .map_err(|error| DeliverError::Closed { reason: explain(&error) })
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::BrokenPipe => "whoever read standard output is gone".to_owned(),
        _ => format!("cannot write to standard output: {error}"),
    }
}
