//! What every sink promises: how events are delivered to it, and why that may fail.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use b24_client::http::ClientBuildError;
use serde::Serialize;

use crate::event::{Event, Queue};

/// The text before the receiver's own words in a reason.
pub(super) const QUOTATION: &str = ", \"";

/// `reason` without the receiver's own words, which may differ each time for the same cause.
pub fn cause(reason: &str) -> &str {
    reason.split_once(QUOTATION).map_or(reason, |(cause, _)| cause)
}

/// Why a sink cannot be built. Only the operator can correct that.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No connection can be set up: TLS or the proxy of this machine cannot be used.
    #[error(transparent)]
    Client(#[from] ClientBuildError),
    /// The configured credential contains characters that are not allowed in a header.
    #[error("what `auth` says cannot stand in a header")]
    Credential,
}

/// Why a sink cannot be reached, for the operator; without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProbeError(pub(super) String);

/// The reason why an attempt did not deliver. The lane matches on it.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// A temporary error: retry with backoff.
    #[error("{reason}")]
    Transient {
        /// What happened, without secrets.
        reason: String,
        /// How long the destination asked us to stay away, if it did.
        wait: Option<Duration>,
    },
    /// The destination will never accept the first of the events: it becomes a dead letter.
    #[error("{reason}")]
    Rejected {
        /// What happened, without secrets.
        reason: String,
        /// The status of the response, if there was one.
        status: Option<u16>,
        /// The start of the response, without secrets.
        answer: String,
        /// The destination asked not to receive this event again, so there is no second attempt.
        is_final: bool,
    },
    /// The operator must act: keep the event, and retry slowly.
    #[error("{reason}")]
    Held {
        /// What happened and what to do, without secrets.
        reason: String,
        /// How long the destination asked us to stay away, if it did.
        wait: Option<Duration>,
    },
    /// The destination wants no more events: wait until the operator resumes it.
    #[error("{reason}")]
    Paused {
        /// What happened, without secrets.
        reason: String,
        /// True if the destination accepted the events in the same response, so they are settled.
        is_delivered: bool,
    },
    /// The destination is gone for the rest of this process: end the process.
    #[error("{reason}")]
    Closed {
        /// What happened.
        reason: String,
    },
}

/// A text that a sink needs after a restart. It is stored with the checkpoint of the lane, in the same commit
/// as the events of the attempt that returned it. Only the sink knows its meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark(String);

impl Mark {
    /// A mark with this text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is sent for one event.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// Where it goes.
    pub target: String,
    /// The headers that depend on the configuration, without secret values.
    pub headers: Vec<String>,
    /// The text that is sent.
    pub body: String,
}

/// A destination. An attempt takes all of its events or fails. A failed attempt may be repeated with the same
/// events, and then continues where it stopped if the destination supports that.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The maximum number of events in one attempt.
    fn attempt_max(&self) -> usize;

    /// The most bytes of payload that one attempt takes, unless a single event is larger.
    fn attempt_bytes(&self) -> u64 {
        u64::MAX
    }

    /// Delivers `events` in order; they are all from one queue. `Ok` means that the destination has stored
    /// them permanently. `None` means that there is nothing to record, and the lane keeps its mark, if any.
    async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError>;

    /// Prepares for events of `queue` that may already be stored, because of a crash before their commit. A
    /// lane calls it once, before its first attempt, with the mark of its last durable commit, or `None` if
    /// there is no such mark. Does not block. Without this call, every event is delivered, even if it is
    /// already stored.
    fn resume(&self, _queue: &Arc<Queue>, _mark: Option<&str>) {}
}
