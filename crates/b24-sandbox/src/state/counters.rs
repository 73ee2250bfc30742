//! What is counted, for tests and people to read: nothing here changes how the portal answers.

use std::collections::BTreeMap;

use serde::Serialize;

/// What happened to one user's queue since the sandbox began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    /// Whether events are being recorded.
    pub subscribed: bool,
    /// Rows written (held ones once they are released).
    pub recorded: u64,
    /// Rows that went out in at least one whole answer.
    pub served: u64,
    /// Rows that went out in more than one whole answer.
    pub served_again: u64,
    /// Rows deleted because a reader asked for a later offset.
    pub confirmed: u64,
    /// Rows among those that no whole answer ever carried: the reader lost them.
    pub confirmed_unserved: u64,
    /// Rows deleted by the cleaner.
    pub expired: u64,
    /// Rows among those that no whole answer ever carried: nobody came in time.
    pub expired_unserved: u64,
    /// Rows taken by the control API's second reader.
    pub stolen: u64,
    /// Rows among those that no whole answer ever carried.
    pub stolen_unserved: u64,
    /// Rows deleted by `unsubscribe`, and those of a bot by its end.
    pub purged: u64,
    /// Rows that vanished when the counter was set back.
    pub rolled_back: u64,
    /// Rows waiting to be read.
    pub pending: u64,
    /// Rows with an id but not visible yet.
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

/// What happened to the whole portal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Calls by method, as documented; `unknown` for the rest.
    pub requests: BTreeMap<&'static str, u64>,
    /// Calls the portal itself answered with an error.
    pub refused: u64,
    /// Calls among those refused by the rate limiter.
    pub limited: u64,
    /// Calls, those within batches included, refused by the operating limiter.
    pub blocked: u64,
    /// Calls answered with a redirect to where the portal has moved.
    pub redirected: u64,
    /// Answers broken by the fault script.
    pub faults: u64,
    /// Faults that still wait for their answer.
    pub faults_left: u64,
    /// By user id.
    pub users: BTreeMap<u64, QueueStats>,
    /// By bot id; bots that were unregistered stay.
    pub bots: BTreeMap<u64, QueueStats>,
}
