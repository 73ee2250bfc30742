//! What the relay asks of the other side of a queue. The portal is one; a script is the other, in the
//! simulation of the relay.

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::{Batch, Offset, Queue};
use crate::portal::refusal::CallError;

/// One event queue, a user's or a bot's. Every call may be given up while it waits, but for `renew`.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// Its names.
    fn queue(&self) -> &Arc<Queue>;

    /// The method that reads it.
    fn method(&self) -> &'static str;

    /// Whether the portal fills it only while the user is subscribed.
    fn needs_subscription(&self) -> bool;

    /// While a call waits for its turn among all that call the same portal: how many turns were taken so far. As long
    /// as there are more of them, it waits for good reason.
    fn turns(&self) -> Option<u64> {
        None
    }

    /// Whether polls come near the limit of their operating time.
    fn is_strained(&self) -> bool;

    /// Whether the credential is a login, and no webhook.
    fn has_login(&self) -> bool;

    /// Another number when the credential may be another user's by now.
    fn epoch(&self) -> u64;

    /// Whether somebody has logged in since the credential was last used. Asks nobody but the state file.
    async fn is_superseded(&self) -> bool;

    /// Asks for events to be recorded from now on; harmless when they already are.
    ///
    /// # Errors
    /// What the portal refuses, classified.
    async fn subscribe(&self) -> Result<(), CallError>;

    /// The user behind the credential.
    ///
    /// # Errors
    /// As [`Upstream::subscribe`].
    async fn owner(&self) -> Result<u64, CallError>;

    /// Reads up to `limit` events from `offset` on, and lets the portal forget all below it.
    ///
    /// # Errors
    /// As [`Upstream::subscribe`].
    async fn poll(&self, offset: Offset, limit: u16) -> Result<Batch, CallError>;

    /// Gets another token after `refusal`. Not to be given up: a pair issued and not kept is a login lost.
    ///
    /// # Errors
    /// The refusal itself, or why the refresh failed.
    async fn renew(&self, refusal: CallError) -> Result<(), CallError>;
}
