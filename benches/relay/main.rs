//! The cost of durability: the relay beside a loop that does the minimum, and beside the shortest script that loses
//! nothing. That script does not parse the events, so it is hard to match.
//!
//! Every contender drains its own portal, with the same backlog, in its own process. The contenders take turns in
//! several rounds. Ratios are computed within a round, so that other load on the machine spoils one round at most. All
//! results are medians over the rounds.
//!
//! This is a benchmark: a missed target does not change the exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

mod contender;
mod loops;
mod measure;
mod median;
mod processes;
mod receiver;
mod report;
mod requests;
mod start;

use std::path::PathBuf;

use clap::Parser;

use contender::Contender;
use loops::Upkeep;

/// How many events a page holds at most; every backlog is a multiple of it.
const PAGE: u32 = 1000;

/// A webhook takes one request per event, so it gets this part of the backlog and takes as long.
const WEBHOOK_SHARE: u32 = 10;

/// Compare the relay with a bare loop and with a naive durable script
#[derive(Parser)]
struct Args {
    /// Events in the backlog of each contender, rounded up to thousands
    #[arg(long, default_value_t = 200_000)]
    events: u32,
    /// How often each contender runs
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Small run: 20,000 events, one round
    #[arg(long)]
    quick: bool,
    /// Run as one of the measured processes: bare, durable or receiver, and its arguments
    #[arg(long, hide = true, num_args = 1.., value_names = ["ROLE", "URL", "FOLDER"])]
    role: Vec<String>,
    /// Passed by `cargo bench` to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let role: Vec<&str> = args.role.iter().map(String::as_str).collect();
    match role[..] {
        ["bare", url] => loops::drain(url, Upkeep::Nothing),
        ["durable", url, folder] => loops::drain(url, Upkeep::durable(&PathBuf::from(folder))),
        ["receiver"] => receiver::serve(),
        _ => compare(&args),
    }
}

fn compare(args: &Args) {
    let (events, rounds) = if args.quick { (20_000, 1) } else { (args.events, args.rounds.max(1)) };
    let events = events.max(PAGE).next_multiple_of(PAGE);
    report::introduce(events, rounds);
    let rounds: Vec<_> = (0..rounds).map(|_| Contender::ALL.map(|contender| contender.run(events))).collect();
    report::contenders(&rounds);
    report::targets(&rounds, &start::to_first_delivered());
}
