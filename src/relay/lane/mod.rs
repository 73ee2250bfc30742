//! One sink's way through one source's journal.

pub(super) mod committer; // tracks settled events and commits them
pub(super) mod dead_letter_log; // log lines about dead letters
pub(super) mod dead_letter_quota; // room for another dead letter
pub(super) mod filter; // which events are delivered at all
pub(super) mod limiter; // how many attempts at once, and the breaker
pub(super) mod pause; // until the operator resumes the sink
pub(super) mod schedule; // which events may be attempted now
pub(super) mod status; // the lane's state, for the log and for `status`
pub(super) mod worker; // read, attempt, settle, commit
