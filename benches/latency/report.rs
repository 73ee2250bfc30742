//! Prints the results.
#![expect(clippy::print_stdout, reason = "the figures are a benchmark's output")]

use std::time::Duration;

use crate::contest::{Outcome, Side};
use crate::figures::per_hour;
use crate::hour::Hour;
use crate::percentile::percentile_ms;
use crate::workload::Workload;

/// `poll.idle`, and the time of the call itself.
const QUIET_MAX_MS: f64 = 5000.0 + 100.0;

pub(crate) fn introduce(seconds: u64) {
    let queues: u64 = Workload::ALL.into_iter().map(Workload::queues).sum();
    println!("{seconds} s on {queues} queues at once; the relay with its default pace, a poller every 5 s");
    println!("latency from the event on the portal to the file, or to the poller\n");
}

/// Two lines for each workload.
pub(crate) fn contenders(outcomes: &[(Workload, Outcome)]) {
    println!(
        "{:10}{:12}{:>8}{:>9}{:>9}{:>9}{:>10}{:>13}{:>9}{:>6}",
        "queue", "reader", "events", "p50 ms", "p99 ms", "max ms", "polls/h", "requests/h", "refused", "lost"
    );
    for (workload, Outcome { relay, fixed }) in outcomes {
        contender(workload.name(), "b24relay", relay);
        contender("", "every 5 s", fixed);
    }
}

fn contender(queue: &str, reader: &str, side: &Side) {
    let [p50, p99, max] = [50, 99, 100].map(|percent| percentile_ms(&side.latencies, percent));
    println!(
        "{queue:10}{reader:12}{:>8}{p50:>9.0}{p99:>9.0}{max:>9.0}{:>10.0}{:>13.0}{:>9}{:>6}",
        side.latencies.len(),
        per_hour(side.asked.polls, side.watched),
        per_hour(side.asked.requests, side.watched),
        side.asked.refused,
        side.lost,
    );
}

/// The targets and the results.
pub(crate) fn targets(outcomes: &[(Workload, Outcome)]) {
    let relay = |wanted| &outcomes.iter().find(|(workload, _)| *workload == wanted).unwrap().1.relay;
    let (firehose, quiet) = (relay(Workload::Firehose), relay(Workload::Quiet));
    let p50 = percentile_ms(&firehose.latencies, 50);
    let p99 = percentile_ms(&firehose.latencies, 99);
    let slowest = percentile_ms(&quiet.latencies, 100);
    let refused: u64 = outcomes.iter().map(|(_, outcome)| outcome.relay.asked.refused).sum();
    println!();
    target("100 events/s, p50", &format!("{p50:.0} ms"), "at most 300 ms", p50 <= 300.0);
    target("100 events/s, p99", &format!("{p99:.0} ms"), "at most 600 ms", p99 <= 600.0);
    let within = "poll.idle (5 s) and the call";
    target("quiet queue, slowest event", &format!("{slowest:.0} ms"), within, slowest <= QUIET_MAX_MS);
    target("refused requests, all queues", &refused.to_string(), "0", refused == 0);
}

/// The results of the hour.
pub(crate) fn hour(hour: &Hour) {
    let Hour { asked, polls, noisy, others, lost } = hour;
    let seconds = |latencies: &[Duration], percent| percentile_ms(latencies, percent) / 1000.0;
    let (noisy_polls, other_polls) = polls.split_first().unwrap();
    let (fewest, most) = (other_polls.iter().min().unwrap(), other_polls.iter().max().unwrap());
    println!("\nan hour of {} sources on one portal, {} times as fast\n", polls.len(), crate::hour::SPEED);
    println!("{:36}{:>12}   of 7200 that the portal bears", "requests", asked.requests);
    println!("{:36}{noisy_polls:>12}", "polls of the never quiet source");
    println!("{:36}{:>12}", "polls of each of the nine others", format!("{fewest} to {most}"));
    for (name, latencies) in [("never quiet source", noisy), ("nine others", others)] {
        let (p50, p99) = (seconds(latencies, 50), seconds(latencies, 99));
        println!(
            "{:36}{:>12}   p50 {p50:.1} s, p99 {p99:.1} s of the hour",
            format!("{name}, events"),
            latencies.len()
        );
    }
    target("refused requests", &asked.refused.to_string(), "0", asked.refused == 0);
    target("lost events", &lost.to_string(), "0", *lost == 0);
}

fn target(figure: &str, value: &str, target: &str, is_met: bool) {
    let verdict = if is_met { "met" } else { "MISSED" };
    println!("{figure:36}{value:>12}   target: {target}: {verdict}");
}
