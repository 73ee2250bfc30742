//! What the journal is worth: how fast events get into it while the only sink is dead, how fast they get out
//! of it when that sink is back, and whether a neighbour in trouble can be noticed at a healthy sink.
//!
//! The relay and the portal are processes of their own. Ratios are taken within a round, so that a noisy
//! moment of the machine spoils one round at most, and all figures are medians over the rounds.
//!
//! A benchmark measures: a missed target changes no exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

#[path = "../latency/arrivals.rs"]
mod arrivals;
mod daemon;
mod isolation;
mod journey;
#[path = "../relay/measure.rs"]
mod measure;
#[path = "../relay/median.rs"]
mod median;
#[path = "../latency/percentile.rs"]
mod percentile;
#[path = "../relay/processes.rs"]
mod processes;
#[path = "../relay/receiver.rs"]
mod receiver;
mod report;
#[path = "../relay/requests.rs"]
mod requests;

use std::time::Duration;

use clap::{Parser, ValueEnum};

use isolation::Neighbour;
use journey::Journey;

/// How many events a page holds at most; every backlog is a multiple of it.
const PAGE: u32 = 1000;

/// A webhook takes one request an event, so it gets this part of the backlog and takes as long.
const WEBHOOK_SHARE: u32 = 10;

/// Measure journal mode: into it, out of it, and what neighbours notice of each other.
#[derive(Parser)]
struct Args {
    /// Events in the backlog, in thousands begun; half of them wait for the neighbour that is behind
    #[arg(long, default_value_t = 200_000)]
    events: u32,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long a live stream lasts
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// A small run: 20,000 events, one round, streams of 4 s
    #[arg(long)]
    quick: bool,
    /// Measure one part alone
    #[arg(long)]
    part: Option<Part>,
    /// Be one of the measured processes: receiver
    #[arg(long, hide = true, num_args = 1.., value_names = ["ROLE"])]
    role: Vec<String>,
    /// What `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Into the journal, and out of it.
    Journey,
    /// What a healthy sink notices of its neighbour.
    Isolation,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    events: u32,
    rounds: u32,
    stream: Duration,
}

fn main() {
    let args = Args::parse();
    if args.role.first().is_some_and(|role| role == "receiver") {
        return receiver::serve();
    }
    let extent = Extent::of(&args);
    report::introduce(extent);
    let is_wanted = |part| args.part.is_none_or(|wanted| wanted == part);
    if is_wanted(Part::Journey) {
        let rounds: Vec<_> = (0..extent.rounds).map(|_| Journey::run(extent.events)).collect();
        report::appends(&rounds);
        report::drains(&rounds);
    }
    if is_wanted(Part::Isolation) {
        let round = || Neighbour::ALL.map(|neighbour| neighbour.run(extent));
        let rounds: Vec<_> = (0..extent.rounds).map(|_| round()).collect();
        report::isolation(&rounds);
    }
}

impl Extent {
    fn of(args: &Args) -> Self {
        if args.quick {
            return Self { events: 20_000, rounds: 1, stream: Duration::from_secs(4) };
        }
        let events = args.events.max(PAGE).next_multiple_of(PAGE);
        Self { events, rounds: args.rounds.max(1), stream: Duration::from_secs(args.seconds.max(1)) }
    }
}
