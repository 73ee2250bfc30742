//! The event queue of a real portal, as the relay uses it.

use std::sync::Arc;

use async_trait::async_trait;
use b24_client::{CallError, EventQueue, OAuthSession, Offset, Page, PageEvent, PortalClient, QueueKind};
use tracing::warn;

use crate::event::{Batch, Event, Queue};
use crate::log_code;
use crate::relay::source::upstream::Upstream;

/// A queue of the portal, with the names that its events get.
pub struct PortalQueue {
    events: EventQueue,
    queue: Arc<Queue>,
    kind: QueueKind,
}

impl PortalQueue {
    /// The queue of `kind` that `client`'s credential reads, with the names in `queue`.
    pub fn new(client: PortalClient, queue: Arc<Queue>, kind: QueueKind) -> Self {
        Self { events: EventQueue::new(client, kind.clone()), queue, kind }
    }
}

#[async_trait]
impl Upstream for PortalQueue {
    fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    fn method(&self) -> &'static str {
        self.events.method()
    }

    fn needs_subscription(&self) -> bool {
        self.kind.reads_user()
    }

    fn turns(&self) -> Option<u64> {
        self.events.client().turns()
    }

    fn budget_used(&self) -> Option<f64> {
        self.events.client().budget_used()
    }

    fn is_strained(&self) -> bool {
        self.events.is_strained()
    }

    fn has_login(&self) -> bool {
        self.events.client().grant().is_some()
    }

    fn epoch(&self) -> u64 {
        self.events.client().grant().map_or(0, OAuthSession::epoch)
    }

    async fn is_superseded(&self) -> bool {
        match self.events.client().grant() {
            Some(grant) => grant.is_superseded().await,
            None => false,
        }
    }

    async fn subscribe(&self) -> Result<(), CallError> {
        self.events.subscribe().await
    }

    async fn owner(&self) -> Result<u64, CallError> {
        let profile = self.events.owner().await?;
        self.events.client().portal_state().remember_user(&self.queue.source, &profile.name).await;
        Ok(profile.user_id)
    }

    async fn poll(&self, offset: Offset, limit: u16) -> Result<Batch, CallError> {
        let Page { events, repeated, odd, has_more, portal_ms } = self.events.poll(offset, limit).await?;
        if repeated > 0 {
            let (source, offset) = (&self.queue.source, offset.get());
            warn!(code = %log_code::EVENTS_REPEATED, %source, offset, dropped = repeated, "portal repeated events within one answer or below the offset");
        }
        let events = events.into_iter().map(|event| named(&self.queue, event)).collect();
        Ok(Batch { events, odd, cut_at: None, has_more, portal_ms })
    }

    async fn renew(&self, refusal: CallError) -> Result<(), CallError> {
        self.events.client().renew(refusal).await
    }
}

/// `event` as an event of `queue`.
fn named(queue: &Arc<Queue>, event: PageEvent) -> Event {
    let PageEvent { id, kind, date, data } = event;
    Event { queue: Arc::clone(queue), id, kind, date, data }
}
