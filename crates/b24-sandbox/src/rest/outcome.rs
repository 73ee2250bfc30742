//! The context and the result of a method, before it is rendered.

use jiff::Timestamp;
use serde_json::Value;

use crate::queue::buffer::{Completeness, Page};
use crate::rest::refusal::Refusal;
use crate::state::switches::Switches;

/// How long a bucket counts, from its first call on.
pub(crate) const WINDOW_S: i64 = 600;

/// The context of a call, in addition to its parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallContext {
    /// The portal's time.
    pub now_s: i64,
    /// Whether the response will arrive completely.
    pub completeness: Completeness,
}

/// The `result` of a method, before it is rendered.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A page of events.
    Page(Page),
    /// A part of a list.
    List(Listing),
    /// A small value whose keys may have any order.
    Value(Value),
    /// JSON with the keys in the server's order.
    Written(String),
    /// The results of the calls of a batch.
    Batch(Vec<Part>),
}

/// A part of a list, with the position of the next part.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The part.
    pub rows: Value,
    /// The total number of rows.
    pub total: usize,
    /// Where the next part starts, if there is one.
    pub next: Option<usize>,
}

/// One call of a batch: its key and its result.
pub(crate) type Part = (String, ExecutedCall);

/// A call that was executed or refused, not rendered yet.
#[derive(Debug)]
pub(crate) struct ExecutedCall {
    /// `result`, or the error.
    pub outcome: Result<Outcome, Refusal>,
    /// The operating time of the method.
    pub operating_time: OperatingTime,
    /// The value of `X-Bitrix-Rest-Application`: the webhook or the application.
    pub origin: String,
    /// When the call started.
    pub started: Timestamp,
    /// When the call finished.
    pub finished: Timestamp,
    /// The switches that change the response.
    pub switches: Switches,
}

/// The operating time in `time`, for the called method.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct OperatingTime {
    /// Seconds within the window, this call included.
    pub operating_s: f64,
    /// Unix time at which the oldest bucket expires, in seconds.
    pub reset_at_s: i64,
}

impl OperatingTime {
    /// The value for a method without counted calls.
    pub(crate) fn none(now_s: i64) -> Self {
        Self { operating_s: 0.0, reset_at_s: now_s + WINDOW_S }
    }
}
