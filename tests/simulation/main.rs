//! A simulation of the engine: the real supervisor, lanes, journal, tail and SQLite, in a world in which time, disk,
//! portal, sinks and the operator's configuration depend on a seed. The same seed gives the same course of events, down
//! to the last line.
//!
//! `cargo test --test simulation` tries ten thousand seeds. `-- --seed 4711 --trace` repeats one of them and prints the
//! events, `-- --seeds 50000 --from 10000` tries others.
#![allow(missing_docs, reason = "a test's name is its documentation")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the summary")]
#![allow(clippy::similar_names, reason = "what is compared has like names")]
#![allow(clippy::cast_precision_loss, reason = "seconds for people to read")]

mod arguments;
pub(crate) mod checker;
mod life;
mod operator;
mod plan;
mod scene;
pub(crate) mod scripted;
mod setting;
mod trial;
mod turn;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use arguments::Arguments;
use checker::count::Count;
use trial::{Broken, try_seed};

/// One seed of this many is tried twice, and must take the same course.
const TWICE_EVERY: u64 = 100;

/// After this many violations, further ones would not help.
const BROKEN_MAX: usize = 10;

fn main() -> ExitCode {
    let arguments = Arguments::read(std::env::args().skip(1));
    trial::hush();
    if arguments.is_list {
        println!("simulation: test");
        return ExitCode::SUCCESS;
    }
    match arguments.seed {
        Some(seed) => repeat(seed, arguments.is_traced),
        None => explore(arguments.from, arguments.count),
    }
}

/// Runs one seed for a developer.
fn repeat(seed: u64, is_traced: bool) -> ExitCode {
    if is_traced {
        trial::show_log();
    }
    let trial = try_seed(seed, is_traced);
    println!("seed {seed}: {}", trial.count);
    match trial.broken {
        Some(reason) => {
            println!("seed {seed}: {reason}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// Runs many seeds on all cores.
fn explore(from: u64, count: u64) -> ExitCode {
    let (began, next) = (Instant::now(), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<(Count, Vec<Broken>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(from, count, &next))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).collect()
    });
    let (mut sum, mut broken) = (Count::default(), Vec::new());
    for (count, more) in parts {
        sum += count;
        broken.extend(more);
    }
    broken.sort_by_key(|broken: &Broken| broken.seed);
    println!("simulation: {count} seeds, {sum}; {:.1} s", began.elapsed().as_secs_f64());
    for Broken { seed, reason } in &broken {
        println!("seed {seed}: {reason}\n    cargo test --test simulation -- --seed {seed} --trace");
    }
    let rare = if broken.is_empty() { sum.too_rare(count) } else { Vec::new() };
    for rare in &rare {
        println!("too rare: {rare}");
    }
    if broken.is_empty() && rare.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(from: u64, count: u64, next: &AtomicU64) -> (Count, Vec<Broken>) {
    let (mut sum, mut broken) = (Count::default(), Vec::new());
    while broken.len() < BROKEN_MAX {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            break;
        }
        let seed = from + number;
        let trial = try_seed(seed, false);
        let is_steady = !number.is_multiple_of(TWICE_EVERY) || try_seed(seed, false).trace == trial.trace;
        let reason = trial.broken.or((!is_steady).then(|| "took another course the second time".to_owned()));
        if let Some(reason) = reason {
            broken.push(Broken { seed, reason });
        }
        sum += trial.count;
    }
    (sum, broken)
}
