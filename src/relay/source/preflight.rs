//! What must be true before a poll may confirm anything: the right queue, recorded.
//!
//! A credential may have changed hands: then our offset would destroy what it does not belong to (PORTAL.md 2.4 and hazard
//! 10).

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::event::{Batch, Offset};
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
}

impl Preparation {
    /// Nothing has been prepared. The queue belongs to `owner`, if it does to any user.
    pub fn new(owner: Option<u64>) -> Self {
        Self { owner, owner_known: None, subscribe_at: None }
    }

    /// Does what is still to be done, then polls for up to `limit` events from `offset` on. May be given up while it waits.
    ///
    /// # Errors
    /// What the portal refuses, and what stands against confirming anything.
    pub async fn poll(
        &mut self,
        queue: &dyn Upstream,
        offset: Offset,
        limit: u16,
    ) -> Result<Batch, CallError> {
        self.complete(queue).await?;
        queue.poll(offset, limit).await
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
