//! A source's queue, looked at from its beginning: that confirms nothing (PORTAL.md 2.4).

use std::sync::Arc;

use super::exit::UsageError;
use crate::config::{KindConfig, SourceConfig};
use crate::event::{Batch, Offset, Queue};
use crate::portal::{CallError, Caller, Class, UserQueue};

/// The most events that one look can show (PORTAL.md 2.1). What lies behind them can only be seen by
/// confirming them.
pub const PAGE_MAX: u16 = 1000;

/// See the top of this file.
pub struct Peek {
    queue: UserQueue,
    limit: u16,
}

impl Peek {
    /// The queue of `source`, called `identity` in the ids of its events.
    ///
    /// # Errors
    /// When it is of a kind that cannot be looked at.
    pub fn try_new(source: &SourceConfig, identity: &str, caller: Caller) -> Result<Self, UsageError> {
        match &source.kind {
            KindConfig::User => {
                let queue = Arc::new(Queue::new(&source.name, identity));
                Ok(Self { queue: UserQueue::new(caller, queue), limit: PAGE_MAX })
            }
            KindConfig::Bot(_) => {
                let text = format!("the queue of the bot `{}` cannot be looked at yet", source.name);
                Err(UsageError(text))
            }
        }
    }

    /// The oldest events that are waiting; fewer where so many are more than an answer may hold.
    ///
    /// # Errors
    /// As [`Caller::call`].
    pub async fn page(&mut self) -> Result<Batch, CallError> {
        loop {
            match self.queue.poll(Offset::START, self.limit).await {
                Err(error) if error.class == Class::TooLarge && self.limit > 1 => self.limit /= 2,
                outcome => return outcome,
            }
        }
    }
}
