//! How long an event takes from the portal to a sink, and what that costs in requests: the relay with its
//! default pace beside a fixed poller, on queues of several kinds. Then an hour of ten sources on one portal.
//!
//! Both contenders have portals of their own, which bear what a cloud portal does (50 requests at once, 2
//! a second) and get the same events at the same moments. All queues run at the same time; portals,
//! pollers and clock are in this process, each relay is one of its own.
//!
//! A benchmark measures: a missed target changes no exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

mod arrivals;
mod contest;
mod figures;
mod hour;
mod percentile;
mod poller;
mod portal;
mod relay;
mod report;
mod workload;

use std::time::Duration;

use clap::Parser;
use futures_util::future::join_all;
use tokio::runtime;

use contest::{Contest, Outcome, WARM_UP};
use workload::Workload;

/// Measure the way of an event from the portal to a sink, beside a poller that asks every 5 seconds.
#[derive(Parser)]
struct Args {
    /// How long events are made for each queue; 10 more come before, and the hour takes 72
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// The same seed gives the same moments
    #[arg(long, default_value_t = 24)]
    seed: u64,
    /// Leave out the hour
    #[arg(long)]
    no_hour: bool,
    /// What `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    // One thread: what the portals take is then out of the relays' way on any machine with two cores.
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        report::introduce(args.seconds);
        let outcomes = compare(Duration::from_secs(args.seconds), args.seed).await;
        report::contenders(&outcomes);
        report::targets(&outcomes);
        if !args.no_hour {
            report::hour(&hour::pass(args.seed).await);
        }
    });
}

/// Every workload on as many queues as it has, all at the same time.
async fn compare(length: Duration, seed: u64) -> Vec<(Workload, Outcome)> {
    let queues =
        Workload::ALL.into_iter().flat_map(|kind| (0..kind.queues()).map(move |queue| (kind, queue)));
    let contests = queues.map(|(kind, queue)| async move { (kind, Contest::prepare().await, queue) });
    let contests = join_all(contests).await;
    let runs = contests.iter().map(|(kind, contest, queue)| async move {
        let schedule = kind.schedule(WARM_UP + length, seed + 100 * queue);
        (*kind, contest.run(&schedule, length).await)
    });
    let outcomes = join_all(runs).await;
    Workload::ALL.into_iter().map(|kind| (kind, Outcome::of(kind, &outcomes))).collect()
}
