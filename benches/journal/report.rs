//! The figures, as a person reads them.
#![expect(clippy::print_stdout, reason = "the figures are a benchmark's output")]

use std::time::Duration;

use crate::isolation::Neighbour;
use crate::journey::{Journey, Leg, Way};
use crate::median::median;
use crate::percentile::percentile_ms;
use crate::{Extent, PAGE, WEBHOOK_SHARE};

/// What a sink that is back should get from the journal, in events a second.
const DRAIN_MIN: f64 = 10_000.0;

/// How much slower a healthy sink may be for a neighbour in trouble, by its p99.
const NEIGHBOUR_RATIO_MAX: f64 = 1.1;

pub fn introduce(extent: Extent) {
    let Extent { events, rounds, stream } = extent;
    println!(
        "{events} events in pages of {PAGE}, 1/{WEBHOOK_SHARE} of them for the webhook; medians of {rounds} rounds"
    );
    println!("streams of 100 events/s for {} s; delivery.mode = \"journal\"", stream.as_secs());
}

/// Into the journal.
pub fn appends(rounds: &[Journey]) {
    println!("\ninto the journal, the only sink dead: from the start until the portal has forgotten all\n");
    legs_head();
    leg("confirm_lag 0s", rounds, |round| &round.prompt_append);
    leg("confirm_lag 2s", rounds, |round| &round.lagging_append);
}

/// Out of the journal.
pub fn drains(rounds: &[Journey]) {
    println!("\nout of the journal, the sink back: from the start until the sink has all\n");
    legs_head();
    leg("journal to file", rounds, |round| &round.file.drain);
    leg("journal to webhook", rounds, |round| &round.webhook.drain);
    leg("direct, file sink", rounds, |round| &round.file.direct);
    leg("direct, webhook sink", rounds, |round| &round.webhook.direct);
    println!();
    let rate = median(rounds.iter().map(|round| round.file.drain.events_per_s()));
    let is_met = rate >= DRAIN_MIN;
    target("journal to file", &format!("{rate:.0}/s"), "at least 10000/s", is_met);
    for (sink, way) in [("file", file as fn(&Journey) -> &Way), ("webhook", webhook)] {
        let ratio = median(rounds.iter().map(|round| {
            let way = way(round);
            way.drain.events_per_s() / way.direct.events_per_s()
        }));
        let emptied = median(rounds.iter().map(|round| way(round).emptied.as_secs_f64()));
        figure(&format!("journal / direct, {sink}"), &format!("{ratio:.2}"));
        figure(&format!("start to empty journal, {sink}"), &format!("{emptied:.1} s"));
    }
}

fn file(round: &Journey) -> &Way {
    &round.file
}

fn webhook(round: &Journey) -> &Way {
    &round.webhook
}

fn legs_head() {
    println!(
        "{:26}{:>10}{:>16}{:>12}{:>22}",
        "", "events/s", "CPU us/event", "peak MiB", "portal CPU us/event"
    );
}

fn leg(name: &str, rounds: &[Journey], leg: fn(&Journey) -> &Leg) {
    let median_of = |figure: fn(&Leg) -> f64| median(rounds.iter().map(|round| figure(leg(round))));
    println!(
        "{name:26}{:>10.0}{:>16.2}{:>12.1}{:>22.2}",
        median_of(Leg::events_per_s),
        median_of(Leg::cpu_us_per_event),
        median_of(|leg| leg.usage.peak_mib),
        median_of(Leg::portal_cpu_us_per_event),
    );
}

/// What a healthy sink notices of its neighbour, in the order of [`Neighbour::ALL`].
pub fn isolation(rounds: &[[Vec<Duration>; 4]]) {
    println!("\na live stream to a healthy file sink: from the portal's recording to the file\n");
    println!("{:26}{:>10}{:>10}{:>14}{:>14}", "neighbour", "p50 ms", "p99 ms", "p50 / none", "p99 / none");
    for (index, neighbour) in Neighbour::ALL.into_iter().enumerate() {
        let (p50, p99) = (of(rounds, index, 50), of(rounds, index, 99));
        let (r50, r99) = (ratio(rounds, index, 50), ratio(rounds, index, 99));
        println!("{:26}{p50:>10.1}{p99:>10.1}{r50:>14.2}{r99:>14.2}", neighbour.name());
    }
    println!();
    for (index, neighbour) in Neighbour::ALL.into_iter().enumerate().skip(1) {
        let ratio = ratio(rounds, index, 99);
        let name = format!("p99 beside: {}", neighbour.name());
        target(&name, &format!("{ratio:.2}"), "at most 1.1", ratio <= NEIGHBOUR_RATIO_MAX);
    }
}

fn of(rounds: &[[Vec<Duration>; 4]], index: usize, percent: usize) -> f64 {
    median(rounds.iter().map(|round| percentile_ms(&round[index], percent)))
}

fn ratio(rounds: &[[Vec<Duration>; 4]], index: usize, percent: usize) -> f64 {
    median(
        rounds.iter().map(|round| percentile_ms(&round[index], percent) / percentile_ms(&round[0], percent)),
    )
}

fn figure(name: &str, value: &str) {
    println!("{name:36}{value:>12}");
}

fn target(name: &str, value: &str, target: &str, is_met: bool) {
    let verdict = if is_met { "met" } else { "MISSED" };
    println!("{name:36}{value:>12}   target: {target}: {verdict}");
}
