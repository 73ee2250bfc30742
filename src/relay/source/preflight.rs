//! The checks before a poll may confirm anything: the queue must be the right one, and the portal must record its
//! events.
//!
//! A credential may have changed hands. Then our offset would destroy the events of another queue (PORTAL.md 2.4 and
//! hazard 10).

use std::time::Duration;

use b24_client::CallError;
use tokio::time::Instant;
use tracing::warn;

use crate::event::{Batch, Offset};
use crate::log_code;
use crate::relay::source::upstream::Upstream;

/// How often the portal is asked to record, although it should be doing so: it does not report when it has stopped.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(3600);

/// The delay after a failed subscription, while polls go on.
const SUBSCRIBE_RETRY: Duration = Duration::from_secs(300);

/// The state of the checks of one source.
pub(crate) struct Preflight {
    /// The user whose permissions the credential must give; `None` when that does not decide the queue.
    owner: Option<u64>,
    /// The credential whose owner is known, by [`Upstream::epoch`]: another source may have refreshed it.
    owner_known: Option<u64>,
    /// When to subscribe next; `None` before the first time.
    subscribe_at: Option<Instant>,
}

impl Preflight {
    /// Creates the checks for a queue that belongs to the user `owner`, if it belongs to a user.
    pub(crate) fn new(owner: Option<u64>) -> Self {
        Self { owner, owner_known: None, subscribe_at: None }
    }

    /// Performs the checks that are due, then polls for up to `limit` events from `offset`. May be cancelled while it
    /// waits.
    ///
    /// # Errors
    /// A refusal of the portal, or the reason why nothing may be confirmed.
    pub(crate) async fn poll(
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

    /// Notes that the credential may be another one from now on.
    pub(crate) fn doubt_owner(&mut self) {
        self.owner_known = None;
    }

    /// Notes that the portal has said that it does not record.
    pub(crate) fn lose_subscription(&mut self) {
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
                warn!(code = %log_code::SUBSCRIPTION_NOT_RENEWED, source = %queue.queue().source, error = %refusal, "cannot renew the subscription, will try again; polling continues");
                SUBSCRIBE_RETRY
            }
        };
        self.subscribe_at = Some(Instant::now() + delay);
        Ok(())
    }
}

fn refuse_stranger(queue: &dyn Upstream, owner: u64, client: u64) -> Result<(), CallError> {
    if owner == client {
        return Ok(());
    }
    let reason = format!(
        "the credential is that of user {client} now, and this source reads the queue of user {owner}"
    );
    let hint = if queue.has_login() {
        format!(
            "`b24relay login SOURCE` as user {owner}; or, if the source is to read the queue of user {client} from now on, `b24relay login SOURCE --new-queue`"
        )
    } else {
        format!(
            "give the source a webhook of user {owner}; or, if it is to read the queue of user {client} from now on, one of that user, and `b24relay offset set SOURCE 1 --new-queue`"
        )
    };
    Err(CallError::operator("profile", reason, hint))
}
