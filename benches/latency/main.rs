//! The latency of an event from the portal to a sink, and its cost in requests: the relay with its default pace beside
//! a fixed poller, on several kinds of queues. Then an hour of ten sources on one portal.
//!
//! Both contenders have portals of their own, which have the limits of a cloud portal (50 requests at once, 2 per
//! second) and get the same events at the same times. All queues run at the same time. Portals, pollers and clock are
//! in this process, and each relay is a process of its own.
//!
//! This is a benchmark: a missed target does not change the exit code.
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

/// Measure the latency of events from the portal to a sink, beside a poller that asks every 5 seconds
#[derive(Parser)]
struct Args {
    /// How long each queue gets events; 10 more seconds come before, and the hour takes 72
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Seed; the same seed gives the same times
    #[arg(long, default_value_t = 24)]
    seed: u64,
    /// Skip the hour
    #[arg(long)]
    no_hour: bool,
    /// Passed by `cargo bench` to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    // A single thread, so that the portals do not slow down the relays on a machine with two cores.
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

/// Runs every workload on its number of queues, all at the same time.
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
