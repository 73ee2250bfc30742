//! Prints the results.
#![expect(clippy::print_stdout, reason = "the figures are a benchmark's output")]

use std::time::Duration;

use crate::WEBHOOK_SHARE;
use crate::contender::{Contender, Run};
use crate::median::median;

/// One run of every contender, in the order of [`Contender::ALL`].
pub(crate) type Round = [Run; Contender::ALL.len()];

pub(crate) fn introduce(events: u32, rounds: u32) {
    println!(
        "{events} events in pages of {}, 1/{WEBHOOK_SHARE} of them for the webhook; medians of {rounds} rounds",
        crate::PAGE
    );
    println!("whole processes, from their start to their end\n");
}

/// A line for each contender.
pub(crate) fn contenders(rounds: &[Round]) {
    println!(
        "{:26}{:>10}{:>16}{:>12}{:>22}",
        "", "events/s", "CPU us/event", "peak MiB", "portal CPU us/event"
    );
    for (index, contender) in Contender::ALL.into_iter().enumerate() {
        let median_of = |figure: fn(&Run) -> f64| median(rounds.iter().map(|round| figure(&round[index])));
        println!(
            "{:26}{:>10.0}{:>16.2}{:>12.1}{:>22.2}",
            contender.name(),
            median_of(Run::events_per_s),
            median_of(Run::cpu_us_per_event),
            median_of(|run| run.usage.peak_mib),
            median_of(Run::portal_cpu_us_per_event),
        );
    }
}

/// The targets and the results.
pub(crate) fn targets(rounds: &[Round], starts: &[Duration]) {
    let ratio = |above: fn(&Round) -> &Run, below: fn(&Round) -> &Run| {
        median(rounds.iter().map(|round| above(round).events_per_s() / below(round).events_per_s()))
    };
    let cpu = |of: fn(&Round) -> &Run| median(rounds.iter().map(|round| of(round).cpu_us_per_event()));
    let peak = median(rounds.iter().map(|round| round[2].usage.peak_mib.max(round[3].usage.peak_mib)));
    let start = median(starts.iter().map(|start| start.as_secs_f64() * 1000.0));
    println!();
    let (share, cost) = ("at least 0.45", "at most 6 us");
    line("hold 0s / script (c/b)", &format!("{:.2}", ratio(|r| &r[2], |r| &r[1])), share);
    line("hold 30s / script (d/b)", &format!("{:.2}", ratio(|r| &r[3], |r| &r[1])), share);
    line("CPU of an event, hold 0s (c)", &format!("{:.2} us", cpu(|r| &r[2])), cost);
    line("CPU of an event, hold 30s (d)", &format!("{:.2} us", cpu(|r| &r[3])), cost);
    line("webhook / bare loop (e/a)", &format!("{:.3}", ratio(|r| &r[4], |r| &r[0])), "none");
    line("peak memory of the relay (c, d)", &format!("{peak:.1} MiB"), "under 30 MiB");
    line("start to first delivered event", &format!("{start:.1} ms"), "under 100 ms");
}

fn line(figure: &str, value: &str, target: &str) {
    println!("{figure:36}{value:>12}   target: {target}");
}
