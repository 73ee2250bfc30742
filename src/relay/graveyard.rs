//! Whether there is room for another dead letter: at the bound a lane is held, and nothing is lost.
//!
//! It is looked for before the commit, not in it: one that was refused there would take with it what the
//! sink has been delivered since the last, which must not come again. So lanes that bury at the same moment
//! may get past `dead_letters.max_size` by one event each; the bound keeps a disk from filling up, and does
//! not need to be met to the byte.

use std::time::Duration;

use tracing::{debug, error, warn};

use crate::config::DeadLettersConfig;
use crate::store::{Burial, Store};
use crate::wall_clock;

/// From which share of the size on a person is told, in percent.
const WARNING_PERCENT: u64 = 80;

/// The same of the age.
const WARNING_SHARE: u32 = 80;

/// The dead letters of one sink.
pub struct Graveyard {
    sink: String,
    limits: DeadLettersConfig,
    store: Store,
}

impl Graveyard {
    /// That of `sink`.
    pub fn new(sink: &str, limits: DeadLettersConfig, store: &Store) -> Self {
        Self { sink: sink.to_owned(), limits, store: store.clone() }
    }

    /// Why there is no room for `burial` now, if there is none; when there is, the burial is told.
    pub async fn refuses(&self, burial: &Burial) -> Option<String> {
        let refusal = self.has_no_room(burial).await;
        if refusal.is_none() {
            self.tell(burial);
        }
        refusal
    }

    /// Why there is no room for `burial` now, if there is none.
    pub async fn has_no_room(&self, burial: &Burial) -> Option<String> {
        let graves = match self.store.graves(&self.sink).await {
            Ok(graves) => graves,
            // The commit with the burial in it will wait for the disk.
            Err(failure) => {
                debug!(sink = self.sink, error = %failure, "cannot look at the dead letters");
                return None;
            }
        };
        let bytes = graves.bytes.saturating_add(burial.size());
        let age_ms = graves.oldest_ms.map_or(0, |oldest_ms| wall_clock::now_ms().saturating_sub(oldest_ms));
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        let refusal = self.refusal(bytes, age);
        if refusal.is_none() {
            self.warn(bytes, age);
        }
        refusal
    }

    fn tell(&self, burial: &Burial) {
        let (source, event_id) = (&burial.event.queue.source, burial.event.id.get());
        error!(
            %source,
            sink = self.sink,
            event_id,
            attempts = burial.attempts,
            error = burial.reason,
            way_out = "`b24relay dead-letters list`",
            "the sink rejects this event: it becomes a dead letter"
        );
    }

    fn refusal(&self, bytes: u64, age: Duration) -> Option<String> {
        let (sink, DeadLettersConfig { max_size, max_age, .. }) = (&self.sink, self.limits);
        let way_out = "make room with `b24relay dead-letters replay` or `discard`, or raise the bound";
        if bytes > max_size {
            return Some(format!(
                "it rejects an event, and there is no room for another dead letter ({bytes} bytes of all sinks, \
                 `dead_letters.max_size` is {max_size}): {way_out}"
            ));
        }
        let hours = age.as_secs() / 3600;
        (age > max_age).then(|| {
            format!(
                "it rejects an event, and its oldest dead letter has lain there for {hours} hours, longer than \
                 `dead_letters.max_age`: {way_out} (`--sink {sink}`)"
            )
        })
    }

    /// In time for a person to make room.
    fn warn(&self, bytes: u64, age: Duration) {
        let (sink, DeadLettersConfig { max_size, max_age, .. }) = (&self.sink, self.limits);
        let way_out = "`b24relay dead-letters list`";
        if bytes > max_size / 100 * WARNING_PERCENT {
            warn!(sink, bytes, max_size, way_out, "the dead letters are nearly full: then the sink is held");
        }
        if age > max_age / 100 * WARNING_SHARE {
            let (hours, max_hours) = (age.as_secs() / 3600, max_age.as_secs() / 3600);
            warn!(
                sink,
                hours,
                max_hours,
                way_out,
                "the oldest dead letter has nearly reached its greatest age: then the sink is held"
            );
        }
    }
}
