//! One queue's loop: poll, dispatch, pause.
//!
//! Keeps I2: the offset sent upstream is the least committed checkpoint of the source's lanes, or the
//! beginning of the queue when the portal has forgotten all below that checkpoint already, and I7:
//! a stop is looked at only while waiting for the portal or for time to pass, never in a token's refresh.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::census::Census;
use super::dispatcher::{dispatch, least_checkpoint};
use super::lane::{Lane, Settled};
use super::opening::Common;
use super::pace::{Pace, Polled};
use super::preparation::Preparation;
use super::{Ending, RelayError, Until};
use crate::config::PollConfig;
use crate::event::{Batch, Offset};
use crate::portal::{CallError, Class, EventQueue};
use crate::retry::whole_millis;
use crate::shutdown::{Signals, Wake};
use crate::store::{Health, Store};

/// How often a healthy source leaves word of its last poll for `status`.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// How often a source that needs a person looks whether somebody has logged in.
const LOGIN_INTERVAL: Duration = Duration::from_secs(5);

/// How many failed polls in a row end a drain: whoever asked for it wants an answer.
const DRAIN_FAILURES_MAX: u32 = 5;

/// What one step of the loop came to.
enum Step {
    /// The portal answered, and every lane has settled what it sent.
    Settled(Polled),
    /// The portal refused, or did not answer.
    Refused(CallError),
    /// A lane left some of the batch: a stop, or a drain out of patience.
    CutShort,
    /// A stop came while we waited for the portal; whatever it was about to send is still there.
    Stopped,
}

/// What was so when a step began: a change since then ends the pause behind it.
#[derive(Clone, Copy)]
struct Seen {
    nudge_count: u64,
    epoch: u64,
}

/// See the top of this file.
pub struct Source {
    queue: EventQueue,
    preparation: Preparation,
    pace: Pace,
    lanes: Vec<Lane>,
    store: Store,
    signals: Signals,
    until: Until,
    /// Until the first answer.
    census: Option<Census>,
    /// The portal has forgotten all below it.
    confirmed: Offset,
    noted: Offset,
    failures: u32,
    /// The last refusal will not heal by waiting.
    needs_person: bool,
    trouble: String,
    was_strained: bool,
    noted_at: Option<Instant>,
}

impl Source {
    /// A source whose `queue` belongs to `owner`, if to any user, and of which the portal has forgotten
    /// all below `confirmed`.
    pub fn new(
        queue: EventQueue,
        owner: Option<u64>,
        confirmed: Offset,
        poll: &PollConfig,
        lanes: Vec<Lane>,
        common: &Common,
    ) -> Self {
        Self {
            queue,
            preparation: Preparation::new(owner),
            pace: Pace::new(*poll),
            lanes,
            store: common.store.clone(),
            signals: common.signals.clone(),
            until: common.until,
            census: Some(common.census.clone()),
            confirmed,
            noted: confirmed,
            failures: 0,
            needs_person: false,
            trouble: String::new(),
            was_strained: false,
            noted_at: None,
        }
    }

    /// The same for one whose first answer has been counted as a refusal already.
    #[must_use]
    pub fn counted(self) -> Self {
        Self { census: None, ..self }
    }

    /// Polls until the run is over.
    ///
    /// # Errors
    /// Only what ends the process.
    pub async fn run(mut self) -> Result<Ending, RelayError> {
        let (offset, sinks) = (least_checkpoint(&self.lanes), self.lanes.len());
        info!(source = self.name(), queue = %self.queue.queue().identity, offset = offset.get(), sinks, "source started");
        loop {
            let seen = Seen { nudge_count: self.signals.nudge_count(), epoch: self.queue.epoch() };
            let pause = match self.step().await? {
                Step::Settled(polled) => {
                    if self.until == Until::Drained && !polled.has_more {
                        return Ok(Ending::Clean);
                    }
                    self.pace.after_poll(polled)
                }
                Step::Refused(refusal) => match self.after_refusal(&refusal).await {
                    Ok(delay) => delay,
                    Err(ending) => return Ok(ending),
                },
                Step::CutShort => return Ok(Ending::CutShort),
                Step::Stopped => return Ok(self.stopped()),
            };
            if self.pause(pause, seen).await == Wake::Stopping {
                return Ok(self.stopped());
            }
        }
    }

    /// Waits; no longer than it takes to notice a new login where that may be the cure.
    async fn pause(&self, mut pause: Duration, seen: Seen) -> Wake {
        while self.needs_person && pause > LOGIN_INTERVAL {
            match self.signals.pause(LOGIN_INTERVAL, seen.nudge_count).await {
                Wake::Elapsed if self.has_new_login(seen.epoch).await => return Wake::Elapsed,
                Wake::Elapsed => pause -= LOGIN_INTERVAL,
                wake @ (Wake::Nudged | Wake::Stopping) => return wake,
            }
        }
        self.signals.pause(pause, seen.nudge_count).await
    }

    /// Whether there is another login than at `epoch`: on record, or in use by a source that shares it.
    async fn has_new_login(&self, epoch: u64) -> bool {
        self.queue.epoch() != epoch || self.queue.is_superseded().await
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
        let batch = match self.poll(offset).await {
            Some(Ok(batch)) => batch,
            Some(Err(refusal)) => return Ok(Step::Refused(refusal)),
            None => return Ok(Step::Stopped),
        };
        self.confirmed = self.confirmed.max(offset);
        self.needs_person = false;
        self.note_health(batch.events.is_empty()).await;
        let (count, has_more, is_strained) = (batch.events.len(), batch.has_more, self.is_strained());
        debug!(source = self.name(), offset = offset.get(), events = count, has_more, "polled");
        Ok(match dispatch(&mut self.lanes, &batch, self.confirmed).await? {
            Settled::All => Step::Settled(Polled { count, has_more, is_strained }),
            Settled::CutShort => Step::CutShort,
        })
    }

    /// Whether polls come near the limit of their operating time; said when that changes.
    fn is_strained(&mut self) -> bool {
        let is_strained = self.queue.is_strained();
        match (self.was_strained, is_strained) {
            (false, true) => warn!(
                source = self.name(),
                "the portal's operating time for polls is nearly used up: polling only every `poll.idle_max`"
            ),
            (true, false) => info!(source = self.name(), "the portal's operating time has recovered"),
            _ => {}
        }
        self.was_strained = is_strained;
        is_strained
    }

    /// Polls, with a refreshed token if need be; `None` when a stop came first.
    async fn poll(&mut self, offset: Offset) -> Option<Result<Batch, CallError>> {
        let refusal = match self.ask(offset).await? {
            Err(refusal) if refusal.class == Class::Refresh => refusal,
            answer => return Some(answer),
        };
        // Not beside the stop: a pair issued and not kept would be a login lost.
        if let Err(refusal) = self.queue.renew(refusal).await {
            return Some(Err(refusal));
        }
        self.ask(offset).await
    }

    /// Prepares and polls, unless a stop comes first.
    async fn ask(&mut self, offset: Offset) -> Option<Result<Batch, CallError>> {
        let (queue, preparation, limit) = (&self.queue, &mut self.preparation, self.pace.limit());
        tokio::select! {
            biased;
            () = self.signals.stop.cancelled() => None,
            answer = preparation.poll(queue, offset, self.confirmed, limit) => Some(answer),
        }
    }

    /// Says what went wrong and how long to wait; a drain may end here instead.
    async fn after_refusal(&mut self, refusal: &CallError) -> Result<Duration, Ending> {
        self.failures += 1;
        self.learn(refusal).await;
        let verdict = self.pace.after_refusal(refusal.into());
        self.needs_person = verdict.needs_person;
        let cure = refusal.cure_for(self.name());
        let trouble = if verdict.needs_person { format!("{refusal}; {cure}") } else { refusal.to_string() };
        let is_news = self.trouble != trouble;
        let (source, attempt, delay_ms) = (self.name(), self.failures, whole_millis(verdict.delay));
        if verdict.needs_person {
            error!(source, attempt, delay_ms, error = %refusal, cure, "the portal refuses this source");
        } else if is_news || attempt.is_power_of_two() {
            // The first of its kind, then ever more rarely: `attempt` counts what is left out.
            warn!(source, attempt, delay_ms, error = %refusal, "poll failed, will try again");
        }
        if is_news {
            self.trouble = trouble;
            self.note(false).await;
        }
        // Not before all is said: it may be the last word of the process.
        self.answer_census(verdict.needs_person);
        match self.until {
            Until::Drained if verdict.needs_person => Err(Ending::Refused),
            Until::Drained if self.failures >= DRAIN_FAILURES_MAX => Err(Ending::CutShort),
            Until::Drained | Until::Stopped => Ok(verdict.delay),
        }
    }

    /// What a refusal says about more than the next pause.
    async fn learn(&mut self, refusal: &CallError) {
        match refusal.class {
            Class::Operator => self.preparation.doubt_owner(),
            Class::Unsubscribed => {
                self.preparation.lose_subscription();
                warn!(
                    source = self.name(),
                    "the subscription was lost: events since then were not recorded; subscribing again"
                );
                if let Err(failure) = self.store.note_loss(self.name()).await {
                    debug!(source = self.name(), error = %failure, "cannot count the loss");
                }
            }
            _ => {}
        }
    }

    /// The first answer of all tells whether the portal lets us in.
    fn answer_census(&mut self, is_refused: bool) {
        if let Some(census) = self.census.take_if(|_| is_refused || self.failures == 0)
            && is_refused
        {
            census.refuse();
        }
    }

    /// Notes a poll that was answered; one that brought nothing has time for what was confirmed. The
    /// first thing ever confirmed is noted at once: without it a portal that counts anew looks like ours.
    async fn note_health(&mut self, is_idle: bool) {
        if self.failures > 0 {
            info!(source = self.name(), failures = self.failures, "the portal answers again");
        }
        let has_confirmed = (is_idle || self.noted == Offset::START) && self.confirmed > self.noted;
        let is_due = self.noted_at.is_none_or(|at| at.elapsed() >= NOTE_INTERVAL) || has_confirmed;
        if is_due || self.failures > 0 {
            self.failures = 0;
            self.answer_census(false);
            self.noted = self.confirmed;
            self.noted_at = Some(Instant::now());
            self.trouble.clear();
            self.note(true).await;
        }
    }

    /// Leaves a word for `status`. Only a word: when the disk does not take it, the log has it too.
    async fn note(&self, has_polled: bool) {
        let health = Health { has_polled, trouble: self.trouble.clone(), confirmed: self.confirmed };
        if let Err(failure) = self.store.note_source(self.name(), health).await {
            debug!(source = self.name(), error = %failure, "cannot note the source's health");
        }
    }

    fn name(&self) -> &str {
        &self.queue.queue().source
    }
}
