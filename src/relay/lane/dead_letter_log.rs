//! Logs dead letters: for each sink one line a minute about new ones, and each warning once an hour.
//!
//! All lanes of a sink share its log. Omitted events are counted, and the next line or the last one reports the count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use crate::log_code;
use crate::store::{DroppedDeadLetters, NewDeadLetter};

/// How often new dead letters are logged.
const LINE_INTERVAL: Duration = Duration::from_secs(60);

/// How often the same warning is repeated.
const WARNING_INTERVAL: Duration = Duration::from_secs(3600);

const HINT: &str = "`b24relay dead-letters list`";

/// The logs of all sinks.
#[derive(Clone, Default)]
pub(crate) struct DeadLetterLog(Arc<Mutex<HashMap<String, Arc<SinkLog>>>>);

/// The log of one sink.
pub(crate) struct SinkLog {
    sink: String,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    said_at: Option<Instant>,
    /// Events since the last line, and the last of them.
    events: u64,
    last: Option<Rejected>,
    dropped_at: Option<Instant>,
    dropped: DroppedDeadLetters,
    full_at: Option<Instant>,
    old_at: Option<Instant>,
}

/// The details of one rejected event.
struct Rejected {
    source: String,
    event_id: u64,
    attempts: u32,
    reason: String,
}

impl DeadLetterLog {
    /// The log of `sink`, shared by all its lanes.
    pub(crate) fn of(&self, sink: &str) -> Arc<SinkLog> {
        let mut sinks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(SinkLog { sink: sink.to_owned(), lines: Mutex::default() });
        Arc::clone(sinks.entry(sink.to_owned()).or_insert_with(new))
    }
}

impl SinkLog {
    /// Logs that an event becomes a dead letter.
    pub(crate) fn buried(self: &Arc<Self>, new_letter: &NewDeadLetter) {
        let mut lines = self.lines();
        lines.events += 1;
        lines.last = Some(Rejected {
            source: new_letter.event.queue.source.to_string(),
            event_id: new_letter.event.id.get(),
            attempts: new_letter.attempts,
            reason: new_letter.reason.clone(),
        });
        if is_due(lines.said_at, LINE_INTERVAL) {
            lines.say_buried(&self.sink);
        } else if let (1, Some(said_at)) = (lines.events, lines.said_at) {
            let (log, due) = (Arc::downgrade(self), said_at + LINE_INTERVAL);
            tokio::spawn(async move {
                sleep_until(due).await;
                if let Some(log) = log.upgrade() {
                    log.lines().say_buried(&log.sink);
                }
            });
        }
    }

    /// Logs that the oldest letters were deleted to make room.
    pub(crate) fn dropped(&self, dropped: DroppedDeadLetters) {
        let mut lines = self.lines();
        lines.dropped.letters += dropped.letters;
        lines.dropped.bytes += dropped.bytes;
        if is_due(lines.dropped_at, LINE_INTERVAL) {
            lines.say_dropped(&self.sink);
        }
    }

    /// Warns that little room is left.
    pub(crate) fn nearly_full(&self, bytes: u64, max_size: u64) {
        let mut lines = self.lines();
        if is_due(lines.full_at, WARNING_INTERVAL) {
            lines.full_at = Some(Instant::now());
            let sink = &self.sink;
            warn!(
                code = %log_code::DEAD_LETTERS_NEARLY_FULL,
                sink,
                bytes,
                max_size,
                hint = HINT,
                "the dead letters are nearly full: when they are full, rejected events wait"
            );
        }
    }

    /// Warns that the oldest letter is older than `dead_letters.max_age`.
    pub(crate) fn old(&self, age: Duration, max_age: Duration) {
        let mut lines = self.lines();
        if is_due(lines.old_at, WARNING_INTERVAL) {
            lines.old_at = Some(Instant::now());
            let (sink, hours, max_hours) = (&self.sink, age.as_secs() / 3600, max_age.as_secs() / 3600);
            warn!(
                code = %log_code::DEAD_LETTERS_OLD,
                sink,
                hours,
                max_hours,
                hint = HINT,
                "there are dead letters older than `dead_letters.max_age`: replay or discard them"
            );
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SinkLog {
    fn drop(&mut self) {
        let sink = self.sink.clone();
        let mut lines = self.lines();
        lines.say_buried(&sink);
        lines.say_dropped(&sink);
    }
}

impl Lines {
    fn say_buried(&mut self, sink: &str) {
        let Some(Rejected { source, event_id, attempts, reason }) = self.last.take() else { return };
        let events = std::mem::take(&mut self.events);
        self.said_at = Some(Instant::now());
        error!(
            code = %log_code::EVENTS_REJECTED,
            source,
            sink,
            events,
            event_id,
            attempts,
            error = reason,
            hint = HINT,
            "the sink rejects events: they become dead letters"
        );
    }

    fn say_dropped(&mut self, sink: &str) {
        let DroppedDeadLetters { letters, bytes } = std::mem::take(&mut self.dropped);
        if letters > 0 {
            self.dropped_at = Some(Instant::now());
            warn!(
                code = %log_code::DEAD_LETTERS_DROPPED,
                sink,
                letters,
                bytes,
                hint = HINT,
                "the dead letters are full: the oldest have been deleted"
            );
        }
    }
}

fn is_due(last: Option<Instant>, interval: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= interval)
}
