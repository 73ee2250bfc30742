//! One queue's loop: poll, dispatch, pause.
//!
//! Keeps I2: the offset sent upstream is the least committed checkpoint of the source's lanes, and I7:
//! a stop is looked at only while waiting for the portal or for time to pass.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::dispatcher::{dispatch, least_checkpoint};
use super::lane::{Lane, Settled};
use super::pace::Pace;
use super::{Ending, RelayError, Until};
use crate::config::PollConfig;
use crate::event::{Batch, Offset};
use crate::portal::{CallError, UserQueue};
use crate::retry::whole_millis;
use crate::shutdown::{Signals, Wake};
use crate::store::Store;

/// How often a healthy source leaves word of its last poll for `status`.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// How many failed polls in a row end a drain: whoever asked for it wants an answer.
const DRAIN_FAILURES_MAX: u32 = 5;

/// What one step of the loop came to.
enum Step {
    /// The portal answered, and every lane has settled what it sent.
    Settled { has_more: bool },
    /// The portal refused, or did not answer.
    Refused(CallError),
    /// A lane left some of the batch: a stop, or a drain out of patience.
    CutShort,
    /// A stop came while we waited for the portal; whatever it was about to send is still there.
    Stopped,
}

/// See the top of this file.
pub struct Source {
    queue: UserQueue,
    pace: Pace,
    lanes: Vec<Lane>,
    store: Store,
    signals: Signals,
    until: Until,
    is_subscribed: bool,
    failures: u32,
    trouble: String,
    noted_at: Option<Instant>,
}

impl Source {
    pub fn new(
        queue: UserQueue,
        poll: PollConfig,
        lanes: Vec<Lane>,
        store: &Store,
        signals: &Signals,
        until: Until,
    ) -> Self {
        Self {
            queue,
            pace: Pace::new(poll),
            lanes,
            store: store.clone(),
            signals: signals.clone(),
            until,
            is_subscribed: false,
            failures: 0,
            trouble: String::new(),
            noted_at: None,
        }
    }

    /// Polls until the run is over.
    ///
    /// # Errors
    /// Only what ends the process.
    pub async fn run(mut self) -> Result<Ending, RelayError> {
        let (offset, sinks) = (least_checkpoint(&self.lanes), self.lanes.len());
        info!(source = self.name(), queue = %self.queue.queue().identity, offset = offset.get(), sinks, "source started");
        loop {
            let nudges_seen = self.signals.nudge_count();
            let pause = match self.step().await? {
                Step::Settled { has_more } => {
                    if self.until == Until::Drained && !has_more {
                        return Ok(Ending::Clean);
                    }
                    self.pace.after_poll(has_more)
                }
                Step::Refused(refusal) => match self.after_refusal(&refusal).await {
                    Ok(delay) => delay,
                    Err(ending) => return Ok(ending),
                },
                Step::CutShort => return Ok(Ending::CutShort),
                Step::Stopped => return Ok(self.stopped()),
            };
            if self.signals.pause(pause, nudges_seen).await == Wake::Stopping {
                return Ok(self.stopped());
            }
        }
    }

    /// A stop between batches: clean for a daemon, but not the end that a drain was asked for.
    fn stopped(&self) -> Ending {
        match self.until {
            Until::Stopped => Ending::Clean,
            Until::Drained => Ending::CutShort,
        }
    }

    async fn step(&mut self) -> Result<Step, RelayError> {
        let offset = least_checkpoint(&self.lanes);
        let polled = tokio::select! {
            biased;
            () = self.signals.stop.cancelled() => return Ok(Step::Stopped),
            polled = Self::ask(&self.queue, &mut self.is_subscribed, offset, self.pace.limit()) => polled,
        };
        let batch = match polled {
            Ok(batch) => batch,
            Err(refusal) => return Ok(Step::Refused(refusal)),
        };
        self.note_health().await;
        debug!(
            source = self.name(),
            offset = offset.get(),
            events = batch.events.len(),
            has_more = batch.has_more,
            "polled"
        );
        Ok(match dispatch(&mut self.lanes, &batch).await? {
            Settled::All => Step::Settled { has_more: batch.has_more },
            Settled::CutShort => Step::CutShort,
        })
    }

    /// Subscribes if that has not worked yet, then polls.
    async fn ask(
        queue: &UserQueue,
        is_subscribed: &mut bool,
        offset: Offset,
        limit: u16,
    ) -> Result<Batch, CallError> {
        if !*is_subscribed {
            queue.subscribe().await?;
            *is_subscribed = true;
        }
        queue.poll(offset, limit).await
    }

    /// Says what went wrong and how long to wait; a drain may end here instead.
    async fn after_refusal(&mut self, refusal: &CallError) -> Result<Duration, Ending> {
        self.failures += 1;
        let verdict = self.pace.after_refusal(refusal.class, refusal.wait);
        let trouble =
            if verdict.needs_person { format!("{refusal}; {}", refusal.cure) } else { refusal.to_string() };
        let is_news = self.trouble != trouble;
        let (source, attempt, delay_ms) = (self.name(), self.failures, whole_millis(verdict.delay));
        if verdict.needs_person {
            error!(source, attempt, delay_ms, error = %refusal, cure = refusal.cure, "the portal refuses this source");
        } else if is_news || attempt.is_power_of_two() {
            // The first of its kind, then ever more rarely: `attempt` counts what is left out.
            warn!(source, attempt, delay_ms, error = %refusal, "poll failed, will try again");
        }
        if is_news {
            self.trouble = trouble;
            self.note(false).await;
        }
        match self.until {
            Until::Drained if verdict.needs_person => Err(Ending::Refused),
            Until::Drained if self.failures >= DRAIN_FAILURES_MAX => Err(Ending::CutShort),
            Until::Drained | Until::Stopped => Ok(verdict.delay),
        }
    }

    async fn note_health(&mut self) {
        if self.failures > 0 {
            info!(source = self.name(), failures = self.failures, "the portal answers again");
        }
        let is_due = self.noted_at.is_none_or(|at| at.elapsed() >= NOTE_INTERVAL);
        if is_due || self.failures > 0 {
            self.failures = 0;
            self.noted_at = Some(Instant::now());
            self.trouble.clear();
            self.note(true).await;
        }
    }

    /// Leaves a word for `status`. Only a word: when the disk does not take it, the log has it too.
    async fn note(&self, has_polled: bool) {
        if let Err(failure) = self.store.note_source(self.name(), has_polled, &self.trouble).await {
            debug!(source = self.name(), error = %failure, "cannot note the source's health");
        }
    }

    fn name(&self) -> &str {
        &self.queue.queue().source
    }
}
