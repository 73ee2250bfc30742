//! Counters for tests and developers. They do not affect the portal's behaviour.

use std::collections::BTreeMap;

use serde::Serialize;

/// The counters of one user's queue since the start of the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    /// True if events are being recorded.
    pub subscribed: bool,
    /// Rows added. Held rows count when they are released.
    pub recorded: u64,
    /// Rows sent in at least one complete response.
    pub served: u64,
    /// Rows sent in more than one complete response.
    pub served_again: u64,
    /// Rows deleted because a reader requested a later offset.
    pub confirmed: u64,
    /// Confirmed rows that no complete response contained: the reader lost them.
    pub confirmed_unserved: u64,
    /// Rows deleted because of their age.
    pub expired: u64,
    /// Expired rows that no complete response contained: no reader came in time.
    pub expired_unserved: u64,
    /// Rows confirmed by the second reader of the control API.
    pub stolen: u64,
    /// Stolen rows that no complete response contained.
    pub stolen_unserved: u64,
    /// Rows deleted by `unsubscribe` or, for a bot, by its deletion.
    pub purged: u64,
    /// Rows removed because the counter was set back.
    pub rolled_back: u64,
    /// Rows that are visible and unconfirmed.
    pub pending: u64,
    /// Rows that have an id but are not visible yet.
    pub held: u64,
    /// The highest id visible so far.
    pub highest_id: u64,
    /// The offset of the last `get`.
    pub last_offset: i64,
    /// Calls of `subscribe`.
    pub subscribes: u64,
    /// Calls of `unsubscribe`.
    pub unsubscribes: u64,
}

/// The counters of the whole portal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Calls by method, in the documented spelling; other calls count as `unknown`.
    pub requests: BTreeMap<&'static str, u64>,
    /// Calls that the portal itself answered with an error.
    pub refused: u64,
    /// Calls refused by the rate limiter; included in `refused`.
    pub limited: u64,
    /// Calls refused by the operating limiter, including those inside batches.
    pub blocked: u64,
    /// Calls redirected to the portal's new address.
    pub redirected: u64,
    /// Responses changed by the fault script.
    pub faults: u64,
    /// Faults that have not been used yet.
    pub faults_left: u64,
    /// By user id.
    pub users: BTreeMap<u64, QueueStats>,
    /// By bot id, including unregistered bots.
    pub bots: BTreeMap<u64, QueueStats>,
}
