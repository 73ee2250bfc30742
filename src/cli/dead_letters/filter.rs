//! Which dead letters a person means.

use clap::Args;

use crate::cli::spelling::moment;
use crate::store::LetterFilter;

/// What is given narrows the choice; nothing given means all. What is given twice means either.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// The numbers that `list` shows
    #[arg(value_name = "NUMBER")]
    numbers: Vec<u64>,
    /// Those of a sink, also of one that is no longer configured
    #[arg(long, value_name = "SINK")]
    sink: Vec<String>,
    /// Those of a source, also of one that is no longer configured
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// Those of an event: its `eventId`, or its `id` such as `b24_5f1c9a0e7d3b2a64_2001`
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Those buried since then: 2026-11-21T09:00:00Z, or how long ago: 2h
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Those buried until then
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    until: Option<i64>,
    /// Those with this text in the reason or in the sink's answer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl FilterArgs {
    /// The same for the store.
    pub fn filter(&self) -> LetterFilter {
        LetterFilter {
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
