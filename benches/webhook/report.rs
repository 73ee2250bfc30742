//! Prints the results.
#![expect(clippy::print_stdout, reason = "the figures are a benchmark's output")]

use std::time::Duration;

use crate::median::median;
use crate::way::{Run, Way};

/// The target, as a share of the ideal.
const SHARE_MIN: f64 = 0.9;

pub(crate) fn introduce(events: u32, rounds: u32, latency: Duration) {
    println!(
        "{events} events, a receiver that takes {latency:?} for a request; medians of {rounds} rounds\n"
    );
}

pub(crate) fn ways(rounds: &[[Run; Way::ALL.len()]], latency: Duration) {
    println!(
        "{:<26} {:>9} {:>9} {:>14} {:>9} {:>12}",
        "", "events/s", "of ideal", "CPU us/event", "peak MiB", "connections"
    );
    for (index, way) in Way::ALL.iter().enumerate() {
        let of = |figure: &dyn Fn(&Run) -> f64| median(rounds.iter().map(|round| figure(&round[index])));
        println!(
            "{:<26} {:>9.0} {:>9.2} {:>14.1} {:>9.1} {:>12.0}",
            way.name,
            of(&Run::events_per_s),
            of(&|run| run.share_of_ideal(latency)),
            of(&Run::cpu_us_per_event),
            of(&|run| run.usage.peak_mib),
            of(&|run| f64::from(run.log.connections)),
        );
    }
    println!();
    for (index, way) in Way::ALL.iter().enumerate() {
        let share = median(rounds.iter().map(|round| round[index].share_of_ideal(latency)));
        let verdict = if share >= SHARE_MIN { "met" } else { "MISSED" };
        println!("{:<26} {share:.2} of the ideal, target at least {SHARE_MIN}: {verdict}", way.name);
    }
}
