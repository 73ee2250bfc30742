//! One sink's way through one source's journal.

pub mod committer;
pub mod dead_letter_log;
pub mod dead_letter_quota;
pub mod filter;
pub mod limiter;
pub mod pause;
pub mod schedule;
pub mod status;
pub mod worker;
