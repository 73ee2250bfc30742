//! Reads a source's queue from its beginning, which confirms nothing (PORTAL.md 2.4).

use std::sync::Arc;

use b24_client::{CallError, Class, PAGE_MAX, PortalClient, Tries};

use crate::config::SourceConfig;
use crate::event::{Batch, Offset, Queue};
use crate::relay::{PortalQueue, Upstream as _};

/// Reads the start of one source's queue.
pub(in crate::cli) struct Peek {
    queue: PortalQueue,
    limit: u16,
}

impl Peek {
    /// Reads the queue of `source`, with `identity` in the ids of its events.
    pub(in crate::cli) fn new(source: &SourceConfig, identity: &str, client: PortalClient) -> Self {
        let queue = Arc::new(Queue::new(&source.name, identity));
        Self { queue: PortalQueue::new(client, queue, source.kind.clone()), limit: PAGE_MAX }
    }

    /// The oldest waiting events; fewer if the answer would be too large.
    pub(in crate::cli) async fn page(&mut self) -> Result<Batch, CallError> {
        let mut tries = Tries::default();
        loop {
            match self.look().await {
                Err(refusal) => tries.pause_after(refusal).await?,
                page => return page,
            }
        }
    }

    /// The same without retries.
    pub(in crate::cli) async fn look(&mut self) -> Result<Batch, CallError> {
        let mut has_renewed = false;
        loop {
            match self.queue.poll(Offset::START, self.limit).await {
                Err(error) if error.class == Class::TooLarge && self.limit > 1 => self.limit /= 2,
                Err(error) if error.class == Class::Refresh && !has_renewed => {
                    self.queue.renew(error).await?;
                    has_renewed = true;
                }
                outcome => return outcome,
            }
        }
    }
}
