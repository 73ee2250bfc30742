//! One sink's way through one source's journal.

pub mod committer; // tracks settled events and commits them
pub mod dead_letter_log; // log lines about dead letters
pub mod dead_letter_quota; // room for another dead letter
pub mod filter; // which events are delivered at all
pub mod limiter; // how many attempts at once, and the breaker
pub mod pause; // until the operator resumes the sink
pub mod schedule; // which events may be attempted now
pub mod status; // the lane's state, for the log and for `status`
pub mod worker; // read, attempt, settle, commit
