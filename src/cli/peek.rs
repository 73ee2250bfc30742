//! A source's queue, looked at from its beginning: that confirms nothing (PORTAL.md 2.4).

use std::sync::Arc;

use crate::config::SourceConfig;
use crate::event::{Batch, Offset, Queue};
use crate::portal::{CallError, Caller, Class, EventQueue, Tries, Upstream as _};

/// The most events that one look can show (PORTAL.md 2.1). What lies behind them can only be seen by
/// confirming them.
pub const PAGE_MAX: u16 = 1000;

/// See the top of this file.
pub struct Peek {
    queue: EventQueue,
    limit: u16,
}

impl Peek {
    /// The queue of `source`, called `identity` in the ids of its events.
    pub fn new(source: &SourceConfig, identity: &str, caller: Caller) -> Self {
        let queue = Arc::new(Queue::new(&source.name, identity));
        Self { queue: EventQueue::new(caller, queue, source.kind.clone()), limit: PAGE_MAX }
    }

    /// The oldest events that are waiting; fewer where so many are more than an answer may hold.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn page(&mut self) -> Result<Batch, CallError> {
        let mut tries = Tries::default();
        loop {
            match self.look().await {
                Err(refusal) => tries.pause_after(refusal).await?,
                page => return page,
            }
        }
    }

    /// The same, tried once.
    ///
    /// # Errors
    /// As [`Caller::attempt`].
    pub async fn look(&mut self) -> Result<Batch, CallError> {
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
