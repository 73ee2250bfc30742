//! What the journal is worth: how fast events get into it while the only sink is dead, how fast they get out
//! of it when that sink is back, whether a neighbour in trouble can be noticed at a healthy sink, and what a long
//! journal costs.
//!
//! The relay and the portal are processes of their own. Ratios are taken within a round, so that a noisy
//! moment of the machine spoils one round at most, and all figures are medians over the rounds.
//!
//! A benchmark measures: a missed target changes no exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

#[path = "../latency/arrivals.rs"]
mod arrivals;
mod daemon;
mod idle;
mod isolation;
mod journey;
mod lock;
#[path = "../relay/measure.rs"]
#[expect(dead_code, reason = "no process is run to its end here")]
mod measure;
#[path = "../relay/median.rs"]
mod median;
mod million;
#[path = "../latency/percentile.rs"]
mod percentile;
#[path = "../relay/processes.rs"]
#[expect(dead_code, reason = "the relay runs as a daemon here")]
mod processes;
#[path = "../relay/receiver.rs"]
mod receiver;
mod receivers;
mod report;
#[path = "../relay/requests.rs"]
mod requests;
mod stream;

use std::time::Duration;

use clap::{Parser, ValueEnum};

use idle::Idle;
use isolation::Neighbour;
use journey::Journey;
use million::Million;

/// How many events a page holds at most; every backlog is a multiple of it.
const PAGE: u32 = 1000;

/// A webhook takes one request an event, so it gets this part of the backlog and takes as long.
const WEBHOOK_SHARE: u32 = 10;

/// What the emulated portal's events take in the journal, on average.
const EVENTS_PER_MIB: u32 = 650;

/// More the emulated portal cannot hold.
const EVENTS_MAX: u32 = 1_000_000;

/// Measure the journal: into it, out of it, what neighbours notice of each other, what a long one costs.
#[derive(Parser)]
struct Args {
    /// What the journal holds that a sink is to catch up with, about, in MiB
    #[arg(long, default_value_t = 256)]
    mib: u32,
    /// Events that wait for the neighbour that is behind, in thousands begun
    #[arg(long, default_value_t = 100_000)]
    behind: u32,
    /// Events of the long journal, in thousands begun, at most a million
    #[arg(long, default_value_t = EVENTS_MAX)]
    entries: u32,
    /// Delivered events that an idle daemon keeps, in thousands begun
    #[arg(long, default_value_t = 200_000)]
    kept: u32,
    /// How often everything is measured; the long journal and the idle daemon once
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long a live stream lasts, and an idle daemon is watched
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// A small run: 16 MiB, 20,000 events elsewhere, one round, streams of 4 s
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
    /// What a long journal costs.
    Million,
    /// What a daemon costs that keeps events and has nothing to do.
    Idle,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    events: u32,
    behind: u32,
    entries: u32,
    kept: u32,
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
        report::journeys(&rounds);
    }
    if is_wanted(Part::Isolation) {
        let round = || Neighbour::ALL.map(|neighbour| neighbour.run(extent));
        let rounds: Vec<_> = (0..extent.rounds).map(|_| round()).collect();
        report::isolation(&rounds);
    }
    if is_wanted(Part::Million) {
        report::million(&Million::run(extent.entries, extent));
    }
    if is_wanted(Part::Idle) {
        report::idle(&Idle::run(extent.kept, extent));
    }
}

impl Extent {
    fn of(args: &Args) -> Self {
        if args.quick {
            let (events, few) = ((16 * EVENTS_PER_MIB).next_multiple_of(PAGE), 20_000);
            let stream = Duration::from_secs(4);
            return Self { events, behind: few, entries: few, kept: few, rounds: 1, stream };
        }
        let whole = |events: u32| events.clamp(PAGE, EVENTS_MAX).next_multiple_of(PAGE);
        Self {
            events: whole(args.mib.saturating_mul(EVENTS_PER_MIB)),
            behind: whole(args.behind),
            entries: whole(args.entries),
            kept: whole(args.kept),
            rounds: args.rounds.max(1),
            stream: Duration::from_secs(args.seconds.max(1)),
        }
    }
}
