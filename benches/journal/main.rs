//! The speed of the journal: how fast events get into it while the only sink is dead, how fast they leave it after the
//! sink is back, whether a failing sink affects a healthy one, and the cost of a long journal.
//!
//! The relay and the portal are separate processes. Ratios are computed within a round, so that other load on the
//! machine spoils one round at most. All results are medians over the rounds.
//!
//! This is a benchmark: a missed target does not change the exit code.
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

/// A webhook takes one request per event, so it gets this part of the backlog and takes as long.
const WEBHOOK_SHARE: u32 = 10;

/// How many events of the emulated portal fit into a MiB of the journal, on average.
const EVENTS_PER_MIB: u32 = 650;

/// The limit of the emulated portal.
const EVENTS_MAX: u32 = 1_000_000;

/// Measure the journal: filling it, emptying it, isolation between sinks, and the cost of a long journal
#[derive(Parser)]
struct Args {
    /// Approximate size of the journal that a sink has to catch up with, in MiB
    #[arg(long, default_value_t = 256)]
    mib: u32,
    /// Events that wait for the sink with a backlog, rounded up to thousands
    #[arg(long, default_value_t = 100_000)]
    behind: u32,
    /// Events of the long journal, rounded up to thousands, at most a million
    #[arg(long, default_value_t = EVENTS_MAX)]
    entries: u32,
    /// Delivered events that an idle daemon keeps, rounded up to thousands
    #[arg(long, default_value_t = 200_000)]
    kept: u32,
    /// Number of rounds; the long journal and the idle daemon are measured once
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Duration of a live stream and of the observation of an idle daemon
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Small run: 16 MiB, 20,000 events elsewhere, one round, streams of 4 s
    #[arg(long)]
    quick: bool,
    /// Measure only one part
    #[arg(long)]
    part: Option<Part>,
    /// Run as one of the measured processes: receiver
    #[arg(long, hide = true, num_args = 1.., value_names = ["ROLE"])]
    role: Vec<String>,
    /// Passed by `cargo bench` to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The parts of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Filling the journal and emptying it.
    Journey,
    /// The effect of a failing sink on a healthy one.
    Isolation,
    /// The cost of a long journal.
    Million,
    /// The cost of an idle daemon that keeps events.
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
        let round = || Neighbour::ALL.map(|sibling_path| sibling_path.run(extent));
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
