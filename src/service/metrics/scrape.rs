//! Metrics from the state file and the operating system, read again for every scrape.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::health::{Grade, Health, LaneHealth, LaneState, SourceHealth, SourceState};
use crate::service::metrics::process;
use crate::service::metrics::registry::Metrics;
use crate::stdio::stderr;

type Labels<const N: usize> = [(&'static str, String); N];
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Seconds<const N: usize> = Family<Labels<N>, Gauge<f64, AtomicU64>>;
type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// The metrics of `health` and of the attempts in flight.
pub(crate) fn of_health(health: &Health, metrics: &Metrics) -> Registry {
    let mut registry = Registry::with_prefix("b24relay");
    let attempts = Seconds::<1>::default();
    registry.register(
        "sink_oldest_attempt_seconds",
        "For how long the oldest attempt has been under way, else 0",
        attempts.clone(),
    );
    for (sink, duration) in metrics.longest_attempts() {
        attempts.get_or_create(&[("sink", sink)]).set(duration.as_secs_f64());
    }
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    registry.register("build", "This program", Info::new(version));
    let writable = Gauge::<i64>::default();
    writable.set(health.trouble.is_none().into());
    registry.register("state_writable", "0 while nothing goes on, as the state file takes nothing", writable);
    let dropped = Counter::<u64>::default();
    dropped.inc_by(stderr::dropped_lines());
    registry.register("log_dropped_lines", "Log lines that nobody took from standard error", dropped);
    sources(&mut registry, &health.sources);
    lanes(&mut registry, &health.lanes);
    let (letters, bytes) = (Gauges::<1>::default(), Gauges::<1>::default());
    registry.register("dead_letters", "Dead letters by sink", letters.clone());
    registry.register("dead_letter_bytes", "How much they take", bytes.clone());
    for lane in &health.lanes {
        let sink = [("sink", lane.report.sink.clone())];
        drop((letters.get_or_create(&sink), bytes.get_or_create(&sink)));
    }
    for dead_letters in &health.dead_letters {
        let sink = [("sink", dead_letters.sink.clone())];
        letters.get_or_create(&sink).set(signed(dead_letters.count));
        bytes.get_or_create(&sink).set(signed(dead_letters.bytes));
    }
    registry
}

fn sources(registry: &mut Registry, sources: &[SourceHealth]) {
    let [up, blocked, events, bytes, confirmed] = [(); 5].map(|()| Gauges::<1>::default());
    let [success, oldest, left] = [(); 3].map(|()| Seconds::<1>::default());
    let [gaps, skipped, losses, stolen] = [(); 4].map(|()| Counters::<1>::default());
    registry.register(
        "source_up",
        "1 while it polls: 0 when it is blocked, refused, retrying, starting or overdue",
        up.clone(),
    );
    registry.register("source_blocked", "1 while a sink or the journal has no room for it", blocked.clone());
    registry.register(
        "source_last_success_timestamp_seconds",
        "The last finished poll, to 10 s",
        success.clone(),
    );
    registry.register(
        "source_oldest_unconfirmed_timestamp_seconds",
        "Up to when all events are in safety, by the portal's clock",
        oldest.clone(),
    );
    registry.register(
        "source_retention_remaining_seconds",
        "Until the portal forgets what is not in safety",
        left.clone(),
    );
    registry.register(
        "source_confirmed_id",
        "The portal has been told to forget all below it",
        confirmed.clone(),
    );
    registry.register("source_gaps", "Stretches of time whose events may be lost", gaps.clone());
    registry.register(
        "source_skipped_events",
        "Unreadable events that a person has given up",
        skipped.clone(),
    );
    registry.register("source_subscriptions_lost", "Times the portal had stopped recording", losses.clone());
    registry.register(
        "source_stolen_events",
        "Events that disappeared before they were confirmed",
        stolen.clone(),
    );
    registry.register("journal_events", "Events in the journal", events.clone());
    registry.register("journal_bytes", "How much they take", bytes.clone());
    for SourceHealth { report, state, grade, .. } in sources {
        let source = [("source", report.name.clone())];
        up.get_or_create(&source).set((*grade == Grade::Healthy).into());
        blocked.get_or_create(&source).set((*state == SourceState::Blocked).into());
        if let Some(polled_ms) = report.polled_ms {
            success.get_or_create(&source).set(seconds(polled_ms));
        }
        if let Some(covered_ms) = report.covered_ms {
            oldest.get_or_create(&source).set(seconds(covered_ms));
        }
        if let Some(left_s) = report.retention_left_s {
            left.get_or_create(&source).set(seconds(left_s.saturating_mul(1000)));
        }
        confirmed.get_or_create(&source).set(signed(report.confirmed));
        gaps.get_or_create(&source).inc_by(report.gaps.len() as u64);
        let given_up = report.gaps.iter().filter_map(|gap| gap.skipped.as_ref());
        skipped.get_or_create(&source).inc_by(given_up.map(|skip| skip.count as u64).sum());
        losses.get_or_create(&source).inc_by(report.losses);
        stolen.get_or_create(&source).inc_by(report.stolen);
        events.get_or_create(&source).set(signed(report.journal_events));
        bytes.get_or_create(&source).set(signed(report.journal_bytes));
    }
}

fn lanes(registry: &mut Registry, lanes: &[LaneHealth]) {
    let [delivered, buried] = [(); 2].map(|()| Counters::<2>::default());
    let (discarded, states) = (Counters::<3>::default(), Gauges::<3>::default());
    let [settled, pending] = [(); 2].map(|()| Gauges::<2>::default());
    registry.register("sink_delivered_events", "Delivered events", delivered.clone());
    registry.register("sink_dead_lettered_events", "Rejected events", buried.clone());
    registry.register("sink_discarded_events", "Events that the sink did not want", discarded.clone());
    registry.register("sink_state", "1 for the state that it is in", states.clone());
    registry.register(
        "sink_settled_events",
        "Events of the journal that it has settled without a hole",
        settled.clone(),
    );
    registry.register("sink_pending_events", "Events in the journal that it has not got", pending.clone());
    for LaneHealth { report: lane, state, .. } in lanes {
        let labels = || [("source", lane.source.clone()), ("sink", lane.sink.clone())];
        let with = |name, value: &str| {
            let [source, sink] = labels();
            [source, sink, (name, value.to_owned())]
        };
        delivered.get_or_create(&labels()).inc_by(lane.delivered);
        buried.get_or_create(&labels()).inc_by(lane.buried);
        discarded.get_or_create(&with("reason", "filtered")).inc_by(lane.filtered);
        discarded.get_or_create(&with("reason", "expired")).inc_by(lane.expired);
        settled.get_or_create(&labels()).set(signed(lane.next.saturating_sub(1)));
        pending.get_or_create(&labels()).set(signed(lane.pending));
        for each in LaneState::ALL {
            states.get_or_create(&with("state", each.word())).set((each == *state).into());
        }
    }
}

/// The standard metrics of a process.
pub(crate) fn of_process() -> Registry {
    let mut registry = Registry::default();
    let Some(process) = process::read() else { return registry };
    let (started, cpu) = (Gauge::<f64, AtomicU64>::default(), Counter::<f64, AtomicU64>::default());
    let (resident, fds) = (Gauge::<i64>::default(), Gauge::<i64>::default());
    started.set(process.started_s);
    cpu.inc_by(process.cpu_s);
    resident.set(signed(process.resident));
    fds.set(signed(process.open_fds));
    registry.register("process_start_time_seconds", "When the process started", started);
    registry.register("process_cpu_seconds", "Processor time", cpu);
    registry.register("process_resident_memory_bytes", "Resident memory", resident);
    registry.register("process_open_fds", "Open files and sockets", fds);
    registry
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "times of our days fit")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
