//! Handles the events of a finished attempt: they are settled, repeated, or become dead letters.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, trace};

use super::{Attempt, DRAIN_TRIES_MAX, Lane};
use crate::config::GiveUp;
use crate::event::{Entry, Event};
use crate::failpoint;
use crate::relay::lane::committer::End;
use crate::relay::lane::limiter::{Blame, DeliveryLimiters, Permit};
use crate::relay::lane::schedule::AttemptBatch;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Until;
use crate::sink::{DeliverError, Mark};
use crate::store::{GAP_KIND, NewDeadLetter};
use crate::wall_clock;

/// How often a sink rejects an event before it is buried: in the middle of a deployment a receiver may reject anything.
const REJECTIONS_MAX: u32 = 3;

/// The HTTP status of a request that is too large for the receiver.
const TOO_LARGE: u16 = 413;

/// How long an event waits after there was no room for it among the dead letters.
const FULL_INTERVAL: Duration = Duration::from_secs(60);

impl Lane {
    pub(super) async fn judge(&mut self, attempt: Attempt) -> Result<(), RelayError> {
        let Attempt { batch, permit, outcome, nudges } = attempt;
        let failure = match outcome {
            Ok(mark) => {
                failpoint::reached("answered");
                permit.succeed();
                self.settle_delivered(&batch, mark);
                if !self.schedule.has_failed() {
                    self.status.recover().await;
                }
                return Ok(());
            }
            Err(failure) => failure,
        };
        match failure {
            DeliverError::Closed { reason } => {
                return Err(RelayError::SinkClosed { sink: self.config.name.clone(), reason });
            }
            DeliverError::Paused { reason, is_delivered } => {
                self.pause.begin(&reason).await?;
                if is_delivered {
                    self.settle_delivered(&batch, None);
                } else {
                    self.schedule.repeat(batch, None);
                }
            }
            DeliverError::Rejected { reason, status, answer, is_final } => {
                let rejection = Rejection { reason, status, answer, is_final };
                self.judge_rejected(batch, permit, rejection).await;
            }
            failure @ (DeliverError::Transient { .. } | DeliverError::Held { .. }) => {
                self.wait_after(batch, permit, &failure).await;
                // A nudge that came meanwhile was about this attempt.
                if self.signals.nudge_count() != nudges {
                    self.follow_nudge();
                }
            }
        }
        Ok(())
    }

    fn settle_delivered(&mut self, batch: &AttemptBatch, mark: Option<Mark>) {
        // Gap events have a separate queue: their mark says nothing about the source's queue.
        if batch.first().is_some_and(|entry| entry.event.kind != GAP_KIND) {
            self.committer.mark(mark);
        }
        let (portal_ms, now_ms) = (self.clock.now_ms(), wall_clock::now_ms());
        for Entry { seq, event } in batch.entries.iter().map(AsRef::as_ref) {
            let (source, sink) = (&self.source, &self.config.name);
            trace!(source, sink, event_id = event.id.get(), "delivered");
            if self.metrics.delivered(event, portal_ms, now_ms) {
                info!(source, sink, event_id = event.id.get(), "first event delivered to this sink");
            }
            self.committer.settle(*seq, End::Delivered);
        }
        self.schedule.settle(batch);
        // After a rejection the batches grow again.
        self.max.events = self.max.events.saturating_mul(2).min(self.limiter.sink().attempt_max());
        failpoint::reached("settled");
    }

    /// Halves the attempt batch until the event that the sink will never take is alone. That event is buried when it was
    /// rejected often enough.
    async fn judge_rejected(&mut self, mut batch: AttemptBatch, permit: Permit, rejection: Rejection) {
        batch.rejections += 1;
        let is_final = rejection.is_final || batch.rejections >= REJECTIONS_MAX;
        if batch.entries.len() > 1 && (is_final || rejection.status == Some(TOO_LARGE)) {
            let (sink, events, error) = (&self.config.name, batch.entries.len(), &rejection.reason);
            debug!(source = self.source, sink, events, error, "batch rejected: trying half of it");
            permit.answer();
            self.max.events = batch.entries.len().div_ceil(2);
            self.schedule.halve(batch);
            return;
        }
        if !is_final {
            let failure = rejection.into_failure();
            return self.wait_after(batch, permit, &failure).await;
        }
        self.bury(batch, permit, rejection).await;
    }

    /// Makes a dead letter of the event if there is room. Otherwise it waits, and so do the later events of its chat.
    async fn bury(&mut self, batch: AttemptBatch, permit: Permit, rejection: Rejection) {
        let Some(entry) = batch.first() else { return };
        let (seq, reason) = (entry.seq, rejection.reason.clone());
        let new_letter = rejection.into_burial(&entry.event, &batch);
        if let Some(reason) = self.quota.refuses(&new_letter).await {
            permit.answer();
            let held = DeliverError::Held { reason, wait: None };
            return self.repeat(batch, &held, FULL_INTERVAL).await;
        }
        self.committer.bury(seq, new_letter);
        failpoint::reached("buried");
        let held = permit.reject(&reason);
        self.schedule.settle(&batch);
        if held.is_none() && !self.schedule.has_failed() {
            self.status.forget().await;
        }
    }

    /// Logs the failure, and schedules another attempt with `batch`.
    async fn wait_after(&mut self, mut batch: AttemptBatch, permit: Permit, failure: &DeliverError) {
        let successes = self.limiter.successes();
        let has_others = batch.successes.is_some_and(|known| successes > known);
        batch.successes.get_or_insert(successes);
        if has_others && batch.entries.len() == 1 && self.gives_up(&batch) {
            let reason = format!("given up after {} attempts (`retry.give_up`): {failure}", batch.tries);
            let rejection = Rejection { reason, status: None, answer: String::new(), is_final: true };
            return self.bury(batch, permit, rejection).await;
        }
        let blame = if has_others { Blame::Events } else { Blame::Sink };
        let own_delay = batch.backoff.next_delay();
        let (delay, limiters) = permit.fail(failure, own_delay, blame);
        match limiters {
            DeliveryLimiters::ClosedBefore => self.schedule.repeat(batch, Some(Instant::now() + own_delay)),
            DeliveryLimiters::Closed | DeliveryLimiters::Open => self.repeat(batch, failure, delay).await,
        }
    }

    async fn repeat(&mut self, batch: AttemptBatch, failure: &DeliverError, delay: Duration) {
        let tries = batch.tries;
        self.schedule.repeat(batch, Some(Instant::now() + delay));
        let next = self.checkpoint().next().get();
        self.status.fail(failure, tries, delay, next).await;
        self.is_leaving |= self.until == Until::Drained && tries >= DRAIN_TRIES_MAX;
    }

    /// Whether an event that fails while others are delivered has been tried often or long enough.
    fn gives_up(&self, batch: &AttemptBatch) -> bool {
        match self.config.retry.give_up {
            GiveUp::Never => false,
            GiveUp::Attempts(attempts) => batch.tries >= attempts,
            GiveUp::After(time) => batch.first_at.elapsed() >= time,
        }
    }
}

/// A sink's statement that it will never take an event.
struct Rejection {
    reason: String,
    status: Option<u16>,
    answer: String,
    /// One attempt was enough.
    is_final: bool,
}

impl Rejection {
    fn into_failure(self) -> DeliverError {
        let Self { reason, status, answer, is_final } = self;
        DeliverError::Rejected { reason, status, answer, is_final }
    }

    fn into_burial(self, event: &Event, batch: &AttemptBatch) -> NewDeadLetter {
        NewDeadLetter {
            event: event.clone(),
            reason: self.reason,
            status: self.status,
            answer: self.answer,
            attempts: batch.tries,
            first_ms: batch.first_ms,
        }
    }
}
