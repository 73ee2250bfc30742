//! Commands about sinks and the state file.

pub(in crate::cli) mod filtered; // what a filter lets pass
pub(in crate::cli) mod replay;
pub(in crate::cli) mod resume;
pub(in crate::cli) mod sample; // one event to try a sink with
pub(in crate::cli) mod state;
pub(in crate::cli) mod status;
pub(in crate::cli) mod status_report; // what it shows to people
pub(in crate::cli) mod test;
