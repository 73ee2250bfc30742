//! The arguments that select dead letters.

use clap::Args;

use crate::human::moment;
use crate::store::DeadLetterFilter;

/// Each argument narrows the selection, and without arguments all are selected. A repeated argument matches any of its
/// values.
#[derive(Debug, Args)]
pub(super) struct FilterArgs {
    /// The numbers that `list` shows
    #[arg(value_name = "NUMBER")]
    numbers: Vec<u64>,
    /// Only this sink's, even if it is no longer configured
    #[arg(long, value_name = "SINK")]
    sink: Vec<String>,
    /// Only this source's, even if it is no longer configured
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// Only this event's: its `eventId`, or its `id` such as `b24_5f1c9a0e7d3b2a64_2001`
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Only those rejected since then: 2026-11-21T09:00:00Z, or an age such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Only those rejected until then
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    until: Option<i64>,
    /// Only those with this text in the reason or in the sink's answer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl FilterArgs {
    /// The same selection for the store.
    pub(super) fn filter(&self) -> DeadLetterFilter {
        DeadLetterFilter {
            numbers: self.numbers.clone(),
            sinks: self.sink.clone(),
            sources: self.source.clone(),
            ids: self.id.clone(),
            since_ms: self.since,
            until_ms: self.until,
            reason: self.reason.clone(),
        }
    }
}
