//! What must be true before a poll may confirm anything: the right queue, recorded, and not counted anew.
//!
//! A credential may have changed hands, and a restored portal may count from a lower id: then our offset
//! would destroy what it does not belong to (PORTAL.md 2.4 and hazard 10). Both are looked for first, and
//! a poll that has nothing to confirm begins at the queue's beginning, where a lower id would show.
//!
//! A lower id may also have become visible later than the lag (hazard 2). Ids are given out in the order of
//! time, so it is dated before we confirmed what is above it; what a portal that counts anew records is
//! dated afterwards. In doubt it counts anew: that destroys nothing, and a person is told.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::event::{Batch, Event, EventId, Offset};
use crate::portal::{CallError, Upstream};

/// How often the portal is asked to record, though it should be doing so: nobody tells when it stopped.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(3600);

/// When that failed, and polls go on.
const SUBSCRIBE_RETRY: Duration = Duration::from_secs(300);

/// Events are dated in whole seconds: one may be that much younger than its date says.
const DATE_RESOLUTION_MS: i64 = 1000;

/// How far the preparations of one source have come.
pub struct Preparation {
    /// Whose rights the credential must give; `None` when that does not choose the queue.
    owner: Option<u64>,
    /// Of which credential the owner is known, by [`Upstream::epoch`]: another source may have refreshed it.
    owner_known: Option<u64>,
    /// `None` before the first time.
    subscribe_at: Option<Instant>,
    is_peeked: bool,
}

/// What the portal has been told to forget.
#[derive(Clone, Copy)]
pub struct Confirmed {
    /// All below it is gone.
    pub offset: Offset,
    /// When it was told so at the latest, by its own clock, if that is known.
    pub at_ms: Option<i64>,
}

impl Preparation {
    /// Nothing has been prepared. The queue belongs to `owner`, if it does to any user.
    pub fn new(owner: Option<u64>) -> Self {
        Self { owner, owner_known: None, subscribe_at: None, is_peeked: false }
    }

    /// Does what is still to be done, then polls for up to `limit` events. All below `offset` is settled,
    /// and what is `confirmed` is gone already. May be given up while it waits.
    ///
    /// # Errors
    /// What the portal refuses, and what stands against confirming anything.
    pub async fn poll(
        &mut self,
        queue: &dyn Upstream,
        offset: Offset,
        confirmed: Confirmed,
        limit: u16,
    ) -> Result<Batch, CallError> {
        self.complete(queue).await?;
        if offset > confirmed.offset && !self.is_peeked {
            let highest = queue.highest(limit).await?;
            refuse_restored(queue, highest, confirmed.offset)?;
        }
        let from = if offset > confirmed.offset { offset } else { Offset::START };
        let batch = queue.poll(from, limit).await?;
        if !confirmed.are_late(&batch) {
            refuse_restored(queue, batch.events.last().map(|event| event.id), confirmed.offset)?;
        }
        self.is_peeked = true;
        Ok(batch)
    }

    async fn complete(&mut self, queue: &dyn Upstream) -> Result<(), CallError> {
        let epoch = queue.epoch();
        if let Some(owner) = self.owner
            && self.owner_known != Some(epoch)
        {
            refuse_stranger(queue, owner, queue.owner().await?)?;
            self.owner_known = Some(epoch);
        }
        self.subscribe(queue).await
    }

    /// The credential may be another one from now on.
    pub fn doubt_owner(&mut self) {
        self.owner_known = None;
    }

    /// The portal says that it does not record.
    pub fn lose_subscription(&mut self) {
        self.subscribe_at = None;
    }

    async fn subscribe(&mut self, queue: &dyn Upstream) -> Result<(), CallError> {
        let is_due = self.subscribe_at.is_none_or(|at| at <= Instant::now());
        if !is_due || !queue.needs_subscription() {
            return Ok(());
        }
        let delay = match queue.subscribe().await {
            Ok(()) => SUBSCRIBE_INTERVAL,
            Err(refusal) if self.subscribe_at.is_none() => return Err(refusal),
            Err(refusal) => {
                warn!(source = %queue.queue().source, error = %refusal, "cannot renew the subscription, will try again; polling goes on");
                SUBSCRIBE_RETRY
            }
        };
        self.subscribe_at = Some(Instant::now() + delay);
        Ok(())
    }
}

fn refuse_stranger(queue: &dyn Upstream, owner: u64, caller: u64) -> Result<(), CallError> {
    if owner == caller {
        return Ok(());
    }
    let reason = format!(
        "the credential is that of user {caller} now, and this source reads the queue of user {owner}"
    );
    let cure = if queue.has_login() {
        format!(
            "`b24relay login SOURCE` as user {owner}; or, if the source is to read the queue of user {caller} from now on, `b24relay login SOURCE --new-queue`"
        )
    } else {
        format!(
            "give the source a webhook of user {owner}; or, if it is to read the queue of user {caller} from now on, one of that user, and `b24relay offset set SOURCE 1 --new-queue`"
        )
    };
    Err(CallError::operator("profile", reason, cure))
}

/// Are there events only where none can be any more? `highest` is the last of those that were seen.
fn refuse_restored(
    queue: &dyn Upstream,
    highest: Option<EventId>,
    confirmed: Offset,
) -> Result<(), CallError> {
    let Some(highest) = highest.filter(|highest| !confirmed.wants(*highest)) else { return Ok(()) };
    let reason = format!(
        "the portal's events end at id {highest}, and all below {confirmed} was confirmed before: the portal was restored or moved, and counts anew"
    );
    let cure = "stop b24relay and `b24relay offset set SOURCE 1`: what the portal has is then delivered";
    Err(CallError::operator(queue.method(), reason, cure))
}

impl Confirmed {
    /// Whether all of `batch` became visible too late. A full page may hide what is behind it.
    fn are_late(self, batch: &Batch) -> bool {
        let is_late = |event: &Event| {
            let is_before =
                |(date_ms, at_ms): (i64, i64)| date_ms.saturating_add(DATE_RESOLUTION_MS) <= at_ms;
            !self.offset.wants(event.id) && event.date_ms().zip(self.at_ms).is_some_and(is_before)
        };
        !batch.has_more && batch.events.iter().all(is_late)
    }
}
