//! Prints the results.
#![expect(clippy::print_stdout, reason = "the figures are a benchmark's output")]

use std::time::Duration;

use crate::idle::Idle;
use crate::isolation::{Neighbour, Pair};
use crate::journey::{Journey, Leg};
use crate::lock::Waits;
use crate::median::median;
use crate::million::{Million, State};
use crate::percentile::percentile_ms;
use crate::{Extent, PAGE, WEBHOOK_SHARE};

/// The target for a file that is back: events per second from the journal.
const DRAIN_MIN: f64 = 50_000.0;

/// The target for the p99 of a healthy sink beside a failing one, relative to the p99 alone.
const NEIGHBOUR_RATIO_MAX: f64 = 1.1;

/// The targets for a start, for the delay of a commit, and for the extra memory of a long journal.
const START_MAX: Duration = Duration::from_secs(1);
const WAIT_MAX_MS: f64 = 20.0;
const MEMORY_MAX_MIB: f64 = 64.0;

/// The share of one core.
const IDLE_MAX_PERCENT: f64 = 1.0;

/// One round, with one pair for each state of the failing sink.
type Pairs = [Pair; Neighbour::ALL.len()];

pub(crate) fn introduce(extent: Extent) {
    println!("events in pages of {PAGE}; medians of {} rounds", extent.rounds);
    println!("streams of 100 events/s for {} s; delivery.hold = \"0s\"", extent.stream.as_secs());
}

/// Filling the journal and emptying it.
pub(crate) fn journeys(rounds: &[Journey]) {
    println!("\ninto the journal, the only sink dead: from the start until the portal has forgotten all");
    println!(
        "out of it, the sink back: from the start until the sink has all; 1/{WEBHOOK_SHARE} for the webhook\n"
    );
    println!(
        "{:26}{:>10}{:>13}{:>10}{:>16}{:>12}{:>22}",
        "", "events", "journal MiB", "events/s", "CPU us/event", "peak MiB", "portal CPU us/event"
    );
    leg("into the journal", rounds, |round| &round.append);
    leg("journal to file", rounds, |round| &round.file.drain);
    leg("journal to webhook", rounds, |round| &round.webhook.drain);
    println!();
    let rate = median(rounds.iter().map(|round| round.file.drain.events_per_s()));
    target("journal to file", &format!("{rate:.0}/s"), "at least 50000/s", rate >= DRAIN_MIN);
    let emptied = median(rounds.iter().map(|round| round.file.emptied.as_secs_f64()));
    figure("start to empty journal, file", &format!("{emptied:.1} s"));
    let emptied = median(rounds.iter().map(|round| round.webhook.emptied.as_secs_f64()));
    figure("start to empty journal, webhook", &format!("{emptied:.1} s"));
}

fn leg(name: &str, rounds: &[Journey], leg: fn(&Journey) -> &Leg) {
    let median_of = |figure: fn(&Leg) -> f64| median(rounds.iter().map(|round| figure(leg(round))));
    println!(
        "{name:26}{:>10.0}{:>13.1}{:>10.0}{:>16.2}{:>12.1}{:>22.2}",
        median_of(|leg| f64::from(leg.events)),
        median_of(|leg| leg.journal_mib),
        median_of(Leg::events_per_s),
        median_of(Leg::cpu_us_per_event),
        median_of(|leg| leg.usage.peak_mib),
        median_of(Leg::portal_cpu_us_per_event),
    );
}

/// The effect of a failing sink on a healthy one, in the order of [`Neighbour::ALL`].
pub(crate) fn isolation(rounds: &[Pairs]) {
    println!(
        "\na live stream to a healthy file sink, and the same at the same time to one without any neighbour:"
    );
    println!("from the portal's recording to the file\n");
    println!(
        "{:26}{:>10}{:>10}{:>14}{:>14}{:>14}{:>14}",
        "neighbour", "p50 ms", "p99 ms", "alone p50 ms", "alone p99 ms", "p50 / alone", "p99 / alone"
    );
    for (index, sibling_path) in Neighbour::ALL.into_iter().enumerate() {
        let of = |figure: &dyn Fn(&Pair) -> f64| median(rounds.iter().map(|round| figure(&round[index])));
        let [b50, b99] = [50, 99].map(|percent| of(&|pair| percentile_ms(&pair.beside, percent)));
        let [a50, a99] = [50, 99].map(|percent| of(&|pair| percentile_ms(&pair.alone, percent)));
        let [r50, r99] = [50, 99].map(|percent| of(&|pair| pair.ratio(percent)));
        println!(
            "{:26}{b50:>10.1}{b99:>10.1}{a50:>14.1}{a99:>14.1}{r50:>14.2}{r99:>14.2}",
            sibling_path.name()
        );
    }
    println!();
    for (index, sibling_path) in Neighbour::ALL.into_iter().enumerate().skip(1) {
        let ratio = median(rounds.iter().map(|round| round[index].ratio(99)));
        let name = format!("p99 beside: {}", sibling_path.name());
        target(&name, &format!("{ratio:.2}"), "at most 1.1", ratio <= NEIGHBOUR_RATIO_MAX);
    }
}

impl Pair {
    fn ratio(&self, percent: usize) -> f64 {
        percentile_ms(&self.beside, percent) / percentile_ms(&self.alone, percent)
    }
}

/// The cost of a long journal.
pub(crate) fn million(Million { empty, full, late }: &Million) {
    println!("\na long journal that a dead sink lacks, a live stream to a healthy file sink beside it\n");
    println!(
        "{:16}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>11}",
        "journal", "MiB", "start ms", "p50 ms", "p99 ms", "max ms", "peak MiB", "status ms"
    );
    state("empty", empty);
    state("long", full);
    println!(
        "\n{:16}{:>14}{:>14}{:>14}{:>14}",
        "waited for", "commit p99 ms", "commit max ms", "disk p99 ms", "disk max ms"
    );
    waits("empty, stream", &empty.waits);
    waits("long, stream", &full.waits);
    waits("catching up", &late.waits);
    println!();
    let start = format!("{:.0} ms", ms(full.start));
    target("start to first poll", &start, "under 1 s", full.start < START_MAX);
    for (name, Waits { lock, .. }) in [("stream", &full.waits), ("catching up", &late.waits)] {
        let longest = percentile_ms(lock, 100);
        let name = format!("longest wait of a commit, {name}");
        target(&name, &format!("{longest:.1} ms"), "at most 20 ms", longest <= WAIT_MAX_MS);
    }
    for (name, peak_mib) in [("stream", full.peak_mib), ("catching up", late.peak_mib)] {
        let more = peak_mib - empty.peak_mib;
        let name = format!("memory above an empty journal, {name}");
        target(&name, &format!("{more:.1} MiB"), "under 64 MiB", more < MEMORY_MAX_MIB);
    }
    figure("late sink, events/s", &format!("{:.0}", late.events_per_s));
}

fn state(name: &str, state: &State) {
    let [p50, p99, max] = [50, 99, 100].map(|percent| percentile_ms(&state.latencies, percent));
    println!(
        "{name:16}{:>10.1}{:>10.0}{p50:>10.1}{p99:>10.1}{max:>10.1}{:>10.1}{:>11.0}",
        state.journal_mib,
        ms(state.start),
        state.peak_mib,
        ms(state.status),
    );
}

fn waits(name: &str, Waits { lock, disk }: &Waits) {
    let [p99, max] = [99, 100].map(|percent| percentile_ms(lock, percent));
    let [disk_p99, disk_max] = [99, 100].map(|percent| percentile_ms(disk, percent));
    println!("{name:16}{p99:>14.1}{max:>14.1}{disk_p99:>14.1}{disk_max:>14.1}");
}

/// The cost of an idle daemon.
pub(crate) fn idle(Idle { empty_percent, keeping_percent, journal_mib }: &Idle) {
    println!("\na daemon at its default pace without any events: of one core\n");
    figure("empty journal", &format!("{empty_percent:.2} %"));
    let name = format!("{journal_mib:.0} MiB kept");
    target(&name, &format!("{keeping_percent:.2} %"), "under 1 %", *keeping_percent < IDLE_MAX_PERCENT);
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn figure(name: &str, value: &str) {
    println!("{name:40}{value:>12}");
}

fn target(name: &str, value: &str, target: &str, is_met: bool) {
    let verdict = if is_met { "met" } else { "MISSED" };
    println!("{name:40}{value:>12}   target: {target}: {verdict}");
}
