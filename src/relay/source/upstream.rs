//! The interface of an event queue that the relay uses. The portal implements it, and so does a script in the
//! simulation of the relay.

use std::sync::Arc;

use async_trait::async_trait;
use b24_client::CallError;

use crate::event::{Batch, Offset, Queue};

/// One event queue, of a user or a bot. Every call except `renew` is safe to cancel while it waits.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// The names of the queue.
    fn queue(&self) -> &Arc<Queue>;

    /// The method that reads it.
    fn method(&self) -> &'static str;

    /// True if the portal fills it only while the user is subscribed.
    fn needs_subscription(&self) -> bool;

    /// The number of turns taken at the portal so far; `None` if no call waits for its turn. While the number
    /// grows, the wait is normal.
    fn turns(&self) -> Option<u64> {
        None
    }

    /// The share of the portal's rate limit that the last minute used; `None` if there is no limit.
    fn budget_used(&self) -> Option<f64> {
        None
    }

    /// True if polls are close to the limit of their operating time.
    fn is_strained(&self) -> bool;

    /// True if the credential is a login and not a webhook.
    fn has_login(&self) -> bool;

    /// A number that changes whenever the credential may belong to another user.
    fn epoch(&self) -> u64;

    /// True if the user has logged in again since the credential was last used. Reads only the state file.
    async fn is_superseded(&self) -> bool;

    /// Subscribes to new events. Harmless if already subscribed.
    ///
    /// # Errors
    /// The refusal of the portal, classified.
    async fn subscribe(&self) -> Result<(), CallError>;

    /// The user behind the credential.
    async fn owner(&self) -> Result<u64, CallError>;

    /// Reads up to `limit` events from `offset` on, and lets the portal delete all below it.
    async fn poll(&self, offset: Offset, limit: u16) -> Result<Batch, CallError>;

    /// Gets a new token after `refusal`. Must not be cancelled: a pair that was issued and not saved is a
    /// lost login.
    ///
    /// # Errors
    /// The refusal itself, or the reason why the refresh failed.
    async fn renew(&self, refusal: CallError) -> Result<(), CallError>;
}
