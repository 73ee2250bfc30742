//! Checks whether there is room for another dead letter of a sink. At the limit the rejected event waits or, with
//! `when_full = "drop_oldest"`, the oldest letters are deleted.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use crate::config::{DeadLettersConfig, WhenFull};
use crate::relay::context::WARNING_PERCENT;
use crate::relay::lane::dead_letter_log::{DeadLetterLog, SinkLog};
use crate::store::{DeadLetterStats, NewDeadLetter, Store};
use crate::wall_clock;

/// The dead letters of one sink.
///
/// Each sink has a separate limit, and the age of a letter is never a reason to refuse another one. Room is checked
/// before the commit, not in it: a refusal in the commit would also undo the record of the events delivered since the
/// last commit, and those must not be delivered again. So lanes that bury at the same moment may exceed
/// `dead_letters.max_size` by one event each. The limit protects the disk and need not be exact to the byte.
pub(crate) struct DeadLetterQuota {
    sink: String,
    limits: DeadLettersConfig,
    store: Store,
    log: Arc<SinkLog>,
}

impl DeadLetterQuota {
    /// Creates the quota of `sink`.
    pub(crate) fn new(sink: &str, limits: DeadLettersConfig, store: &Store, log: &DeadLetterLog) -> Self {
        Self { sink: sink.to_owned(), limits, store: store.clone(), log: log.of(sink) }
    }

    /// Returns the reason if there is no room for `new_letter` now. If there is room, the dead letter is logged.
    pub(crate) async fn refuses(&self, new_letter: &NewDeadLetter) -> Option<String> {
        let refusal = self.has_no_room(new_letter).await;
        if refusal.is_none() {
            self.log.buried(new_letter);
        }
        refusal
    }

    /// Returns the reason if there is no room for `new_letter` now.
    pub(crate) async fn has_no_room(&self, new_letter: &NewDeadLetter) -> Option<String> {
        let stats = match self.store.stats(&self.sink).await {
            Ok(stats) => stats,
            // The commit that contains the dead letter will wait for the disk.
            Err(failure) => {
                debug!(sink = self.sink, error = %failure, "cannot look at the dead letters");
                return None;
            }
        };
        self.warn_of_age(stats);
        let DeadLettersConfig { max_size, when_full, .. } = self.limits;
        let size = new_letter.size();
        let bytes = stats.bytes.saturating_add(size);
        match when_full {
            WhenFull::DropOldest if bytes > max_size && size <= max_size => {
                self.drop_oldest(&new_letter.event.queue.source, bytes - max_size).await;
                None
            }
            _ if bytes > max_size => Some(self.refusal(bytes)),
            WhenFull::Wait if bytes > max_size / 100 * WARNING_PERCENT => {
                self.log.nearly_full(bytes, max_size);
                None
            }
            WhenFull::Wait | WhenFull::DropOldest => None,
        }
    }

    async fn drop_oldest(&self, source: &str, bytes: u64) {
        match self.store.drop_oldest_letters(&self.sink, source, bytes).await {
            Ok(dropped) => self.log.dropped(dropped),
            Err(failure) => {
                debug!(sink = self.sink, error = %failure, "cannot delete the oldest dead letters");
            }
        }
    }

    fn refusal(&self, bytes: u64) -> String {
        let (sink, max_size) = (&self.sink, self.limits.max_size);
        format!(
            "there is no room for another dead letter of this sink ({bytes} bytes, `dead_letters.max_size` is {max_size}): \
             make room with `b24relay dead-letters replay` or `discard` (`--sink {sink}`), or raise the limit"
        )
    }

    fn warn_of_age(&self, stats: DeadLetterStats) {
        let age_ms = stats.oldest_ms.map_or(0, |oldest_ms| wall_clock::now_ms().saturating_sub(oldest_ms));
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        if age > self.limits.max_age {
            self.log.old(age, self.limits.max_age);
        }
    }
}
