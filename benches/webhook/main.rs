//! How fast a webhook receives a backlog, relative to the ideal: as many requests at once as allowed, each as long as
//! the receiver takes.
//!
//! All variants are measured in one run, one after the other in every round. This is a benchmark: a missed target does
//! not change the exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

#[path = "../relay/measure.rs"]
#[expect(dead_code, reason = "the time is taken at the receiver")]
mod measure;
#[path = "../relay/median.rs"]
mod median;
#[path = "../relay/processes.rs"]
#[expect(dead_code, reason = "only the portal and the relay are needed here")]
mod processes;
mod receiver;
mod report;
#[path = "../relay/requests.rs"]
mod requests;
mod way;

use std::time::Duration;

use clap::Parser;

use way::Way;

/// How many events a page holds at most; the backlog is a multiple of it.
const PAGE: u32 = 1000;

/// Measure the webhook sink: in order, by chats, in batches
#[derive(Parser)]
struct Args {
    /// Events in the backlog, rounded up to thousands
    #[arg(long, default_value_t = 20_000)]
    events: u32,
    /// Number of rounds
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long the receiver takes for a request, in milliseconds
    #[arg(long, default_value_t = 5)]
    latency_ms: u64,
    /// Passed by `cargo bench` to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let (events, latency) =
        (args.events.max(PAGE).next_multiple_of(PAGE), Duration::from_millis(args.latency_ms));
    report::introduce(events, args.rounds, latency);
    let round = || Way::ALL.map(|way| way.run(events, latency));
    let rounds: Vec<_> = (0..args.rounds.max(1)).map(|_| round()).collect();
    report::ways(&rounds, latency);
}
