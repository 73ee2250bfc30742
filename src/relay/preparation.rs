//! What must be true before a poll may confirm anything: the right queue, recorded, and not counted anew.
//!
//! A credential may have changed hands, and a restored portal may count from a lower id: then our offset
//! would destroy what it does not belong to (PORTAL.md 2.4 and hazard 10). Both are looked for first, and
//! a poll that has nothing to confirm begins at the queue's beginning, where a lower id would show.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::event::{Batch, EventId, Offset};
use crate::portal::{CallError, Upstream};

/// How often the portal is asked to record, though it should be doing so: nobody tells when it stopped.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(3600);

/// When that failed, and polls go on.
const SUBSCRIBE_RETRY: Duration = Duration::from_secs(300);

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

impl Preparation {
    /// Nothing has been prepared. The queue belongs to `owner`, if it does to any user.
    pub fn new(owner: Option<u64>) -> Self {
        Self { owner, owner_known: None, subscribe_at: None, is_peeked: false }
    }

    /// Does what is still to be done, then polls for up to `limit` events. All below `offset` is settled,
    /// and all below `confirmed` is gone already. May be given up while it waits.
    ///
    /// # Errors
    /// What the portal refuses, and what stands against confirming anything.
    pub async fn poll(
        &mut self,
        queue: &dyn Upstream,
        offset: Offset,
        confirmed: Offset,
        limit: u16,
    ) -> Result<Batch, CallError> {
        self.complete(queue).await?;
        if offset > confirmed && !self.is_peeked {
            let highest = queue.highest(limit).await?;
            refuse_restored(queue, highest, confirmed)?;
        }
        let from = if offset > confirmed { offset } else { Offset::START };
        let batch = queue.poll(from, limit).await?;
        refuse_restored(queue, batch.events.last().map(|event| event.id), confirmed)?;
        warn_of_lower(queue, &batch, confirmed);
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

/// Where there are higher ids as well, the portal counts on: these came too late for us.
fn warn_of_lower(queue: &dyn Upstream, batch: &Batch, confirmed: Offset) {
    let count = batch.events.iter().filter(|event| !confirmed.wants(event.id)).count();
    if count > 0 {
        let (source, confirmed) = (&queue.queue().source, confirmed.get());
        warn!(%source, count, confirmed, "events became visible below what was confirmed: they cannot be delivered any more");
    }
}
