//! What a method is given and what comes of it, before it is rendered.

use jiff::Timestamp;
use serde_json::Value;

use crate::queue::buffer::{Page, Passage};
use crate::rest::refusal::Refusal;
use crate::state::switches::Switches;

/// How long a bucket counts, from the first call in it.
pub const WINDOW_S: i64 = 600;

/// What a method needs to know besides its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// The portal's time.
    pub now_s: i64,
    /// Whether the answer will arrive whole.
    pub passage: Passage,
}

/// What a method returns: `result` before it is rendered.
#[derive(Debug)]
pub enum Outcome {
    /// A page of events.
    Page(Page),
    /// Part of a list.
    List(Listing),
    /// Anything small whose members may come in any order.
    Value(Value),
    /// JSON whose members come in the server's order.
    Written(String),
    /// What came of each call of a batch.
    Batch(Vec<Part>),
}

/// Part of a list, and where the rest of it is.
#[derive(Debug)]
pub struct Listing {
    /// The part.
    pub rows: Value,
    /// How many rows there are altogether.
    pub total: usize,
    /// Where the next part starts, if there is one.
    pub next: Option<usize>,
}

/// One call of a batch: its key, and what came of it.
pub type Part = (String, Executed);

/// A call that was carried out or refused, not rendered yet.
#[derive(Debug)]
pub struct Executed {
    /// `result`, or why there is none.
    pub outcome: Result<Outcome, Refusal>,
    /// What the method has taken of late.
    pub effort: Effort,
    /// What `X-Bitrix-Rest-Application` says: the webhook or the application.
    pub origin: String,
    /// When the portal began.
    pub started: Timestamp,
    /// When it was done.
    pub finished: Timestamp,
    /// How the answer is bent.
    pub switches: Switches,
}

/// What `time` says of the method just called.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Effort {
    /// Seconds within the window, this call included.
    pub operating_s: f64,
    /// Unix second when the oldest bucket drops out.
    pub reset_at_s: i64,
}

impl Effort {
    /// Of a method nothing was counted for.
    pub fn none(now_s: i64) -> Self {
        Self { operating_s: 0.0, reset_at_s: now_s + WINDOW_S }
    }
}
