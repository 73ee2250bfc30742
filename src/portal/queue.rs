//! One user's event queue: subscribe, poll, unsubscribe (PORTAL.md section 2).

use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Map;
use tracing::warn;

use super::answer::{GetParams, Item, Page};
use super::call::{CallError, Caller};
use crate::event::{Batch, Event, Offset, Queue};

/// The queue of the user behind a credential.
pub struct UserQueue {
    caller: Caller,
    queue: Arc<Queue>,
}

impl UserQueue {
    /// The queue that `caller`'s credential reads, known as `queue`.
    pub fn new(caller: Caller, queue: Arc<Queue>) -> Self {
        Self { caller, queue }
    }

    /// Its names.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Asks the portal to record events for this user from now on; harmless when it already does.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn subscribe(&self) -> Result<(), CallError> {
        self.caller.call("im.v2.Event.subscribe", &Map::new()).await.map(|IgnoredAny| ())
    }

    /// Asks the portal to stop recording. What is unread is destroyed on the portals we know
    /// (PORTAL.md 2.6): drain first.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn unsubscribe(&self) -> Result<(), CallError> {
        self.caller.call("im.v2.Event.unsubscribe", &Map::new()).await.map(|IgnoredAny| ())
    }

    /// Reads up to `limit` events from `offset` on, and lets the portal forget all below it.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn poll(&self, offset: Offset, limit: u16) -> Result<Batch, CallError> {
        let params = GetParams { offset: offset.get(), limit };
        let page = self.caller.call("im.v2.Event.get", &params).await?;
        Ok(self.batch(page, offset, limit))
    }

    /// Puts a page in order: ascending, each id once, nothing below what was asked for.
    fn batch(&self, page: Page, offset: Offset, limit: u16) -> Batch {
        let mut items = page.events.0;
        let received = items.len();
        let has_more = page.has_more.unwrap_or(received >= usize::from(limit)) && received > 0;
        items.sort_by_key(|item| item.id);
        items.dedup_by_key(|item| item.id);
        items.retain(|item| offset.wants(item.id));
        if items.len() < received {
            let dropped = received - items.len();
            warn!(source = %self.queue.source, offset = offset.get(), dropped, "portal repeated events within one answer or below the offset");
        }
        Batch { events: items.into_iter().map(|item| self.event(item)).collect(), has_more }
    }

    fn event(&self, item: Item) -> Event {
        let Item { id, kind, date, data } = item;
        Event { queue: Arc::clone(&self.queue), id, kind, date, data }
    }
}
