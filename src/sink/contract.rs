//! What every sink promises: how events are delivered to it, and why that may fail.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::event::{Event, Queue};

/// Before a receiver's own words in a reason.
pub const QUOTATION: &str = ", \"";

/// `reason` without the receiver's own words, which may be others each time for the same cause.
pub fn cause(reason: &str) -> &str {
    reason.split_once(QUOTATION).map_or(reason, |(cause, _)| cause)
}

/// Why an attempt did not deliver. Matched on by the lane.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// It may well work in a moment: try again with a growing delay.
    #[error("{reason}")]
    Transient {
        /// What happened, without secrets.
        reason: String,
        /// How long the destination asked us to stay away, if it did.
        wait: Option<Duration>,
    },
    /// It will never take the first of the events, whatever we do: one for the dead letters.
    #[error("{reason}")]
    Rejected {
        /// What happened, without secrets.
        reason: String,
        /// The status of its answer, if it gave one.
        status: Option<u16>,
        /// The beginning of its answer, without secrets.
        answer: String,
        /// It asked not to be sent this event again: one attempt was enough.
        is_final: bool,
    },
    /// A person must act: keep the event, try again slowly.
    #[error("{reason}")]
    Held {
        /// What happened and what to do, without secrets.
        reason: String,
        /// How long the destination asked us to stay away, if it did.
        wait: Option<Duration>,
    },
    /// It wants nothing more: no attempt until a person says otherwise.
    #[error("{reason}")]
    Paused {
        /// What happened, without secrets.
        reason: String,
        /// It said so while it took the events: they are settled.
        is_delivered: bool,
    },
    /// The destination is gone for the rest of this process: end it.
    #[error("{reason}")]
    Closed {
        /// What happened.
        reason: String,
    },
}

/// What a sink wants to be told again at the next start: kept with the checkpoint of the lane, in the same commit as
/// the events of the attempt that returned it. Only the sink knows what the text means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark(String);

impl Mark {
    /// The mark that reads `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A destination. An attempt takes all of its events or fails; a failed one may be repeated with the
/// same events, and then takes up where it broke off as far as the destination allows.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The most events that one attempt takes.
    fn attempt_max(&self) -> usize;

    /// The most bytes of payload that one attempt takes, unless a single event is larger.
    fn attempt_bytes(&self) -> u64 {
        u64::MAX
    }

    /// Delivers `events`, in order: when this returns `Ok`, the destination holds them for good. They are of one queue.
    /// `None` says that there is nothing to record: the lane keeps the mark that it has, if any.
    async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError>;

    /// Prepares for events of `queue` that may be here already, because a crash came before their commit. A lane calls
    /// it once, before its first attempt, with the mark of its last durable commit; `None` when there is none on
    /// record. Does not block. Without this call every event is delivered, whether it is here already or not.
    fn resume(&self, _queue: &Arc<Queue>, _mark: Option<&str>) {}
}
