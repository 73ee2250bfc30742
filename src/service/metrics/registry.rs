//! Counters of the running relay. Values that the state file has are not counted again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::config::Outcome;
use crate::event::Event;
use crate::service::metrics::in_flight::InFlight;
use crate::service::metrics::sink_totals::{Counts, SinkTotals};

/// The usual buckets for requests, in seconds.
const DURATIONS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Buckets for durations that can be long, in seconds.
const LATENCIES: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 21600.0];

/// The limit of event types for each source, because the types come from the portal.
const KINDS_MAX: usize = 48;

type Labels<const N: usize> = [(&'static str, String); N];

/// The counters of the running relay. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    polls: Family<Labels<2>, Counter>,
    poll_durations: Family<Labels<1>, Histogram, fn() -> Histogram>,
    received: Family<Labels<2>, Counter>,
    refusals: Family<Labels<2>, Counter>,
    needs_operator: Family<Labels<1>, Gauge>,
    lags: Family<Labels<1>, Histogram, fn() -> Histogram>,
    attempts: Family<Labels<2>, Counter>,
    attempt_durations: Family<Labels<1>, Histogram, fn() -> Histogram>,
    in_flight: Family<Labels<1>, Gauge>,
    breakers: Family<Labels<1>, Gauge>,
    latencies: Family<Labels<2>, Histogram, fn() -> Histogram>,
    last_success: Family<Labels<2>, Gauge>,
    filtered: Family<Labels<3>, Counter>,
    filter_failures: Family<Labels<2>, Counter>,
    reloads: Family<Labels<1>, Counter>,
    journal_max: Gauge,
    wrong_tokens: Counter,
    /// The sums of all lanes of a sink: a relay may have hundreds of sources, and few sinks.
    sinks: Mutex<BTreeMap<Arc<str>, Arc<SinkTotals>>>,
    /// How many events all sources have read.
    received_total: AtomicU64,
    budgets: Family<Labels<1>, Gauge<f64, AtomicU64>>,
    /// The event types seen so far, by source: a restarted source continues its counters.
    kinds: Mutex<BTreeMap<String, BTreeSet<String>>>,
    in_progress: Mutex<BTreeMap<String, InFlight>>,
    /// The sinks that have received an event.
    reached: Mutex<BTreeSet<String>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let durations: fn() -> Histogram = || Histogram::new(DURATIONS);
        let latencies: fn() -> Histogram = || Histogram::new(LATENCIES);
        let mut inner = Inner {
            registry: Registry::with_prefix("b24relay"),
            polls: Family::default(),
            poll_durations: Family::new_with_constructor(durations),
            received: Family::default(),
            refusals: Family::default(),
            needs_operator: Family::default(),
            lags: Family::new_with_constructor(latencies),
            attempts: Family::default(),
            attempt_durations: Family::new_with_constructor(durations),
            in_flight: Family::default(),
            breakers: Family::default(),
            latencies: Family::new_with_constructor(latencies),
            last_success: Family::default(),
            filtered: Family::default(),
            filter_failures: Family::default(),
            reloads: Family::default(),
            journal_max: Gauge::default(),
            wrong_tokens: Counter::default(),
            sinks: Mutex::default(),
            received_total: AtomicU64::new(0),
            budgets: Family::default(),
            kinds: Mutex::default(),
            in_progress: Mutex::default(),
            reached: Mutex::default(),
        };
        inner.register();
        // A counter starts at zero, so that its first increase is visible.
        for outcome in ["applied", "refused"] {
            drop(inner.reloads.get_or_create(&[("outcome", outcome.to_owned())]));
        }
        Self(Arc::new(inner))
    }
}

impl Inner {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("source_polls", "Finished polls", self.polls.clone());
        registry.register("source_poll_duration_seconds", "How long polls took", self.poll_durations.clone());
        registry.register("source_received_events", "Events read from the portal", self.received.clone());
        registry.register("source_errors", "Refused polls by what is done next", self.refusals.clone());
        registry.register(
            "source_needs_operator",
            "1 when waiting does not heal it",
            self.needs_operator.clone(),
        );
        registry.register("source_lag_seconds", "From an event's date to its receipt", self.lags.clone());
        registry.register("sink_attempts", "Finished attempts by outcome", self.attempts.clone());
        registry.register(
            "sink_attempt_duration_seconds",
            "How long attempts took",
            self.attempt_durations.clone(),
        );
        registry.register("sink_in_flight_attempts", "Attempts under way", self.in_flight.clone());
        registry.register(
            "sink_breaker_open",
            "1 while a failing sink gets only one attempt at a time",
            self.breakers.clone(),
        );
        registry.register(
            "sink_delivery_latency_seconds",
            "From an event's date to its delivery",
            self.latencies.clone(),
        );
        registry.register(
            "sink_last_success_timestamp_seconds",
            "When something was delivered last in this run",
            self.last_success.clone(),
        );
        registry.register(
            "source_portal_budget_used_ratio",
            "The share of the portal's rate limit that the last minute used, for all sources of the portal",
            self.budgets.clone(),
        );
        registry.register(
            "sink_filtered_events",
            "Events that a key of the sink excluded in this run",
            self.filtered.clone(),
        );
        registry.register(
            "sink_filter_failures",
            "Events that passed because `filter` could not be evaluated",
            self.filter_failures.clone(),
        );
        registry.register("config_reloads", "Reloads of the configuration", self.reloads.clone());
        registry.register("journal_max_bytes", "At which polling stops", self.journal_max.clone());
        registry.register(
            "http_wrong_tokens",
            "Requests to `[http]` with a wrong token",
            self.wrong_tokens.clone(),
        );
    }
}

impl Metrics {
    /// Counts a request to `[http]` with a wrong token; returns the new count.
    pub fn wrong_token(&self) -> u64 {
        self.0.wrong_tokens.inc() + 1
    }

    /// The counters of one source.
    pub fn source(&self, source: &str) -> SourceMetrics {
        SourceMetrics { source: source.to_owned(), metrics: self.clone() }
    }

    /// The counters of one sink.
    pub fn sink(&self, sink: &str) -> SinkMetrics {
        let in_flight = self.0.in_flight.get_or_create_owned(&label("sink", sink));
        let breaker = self.0.breakers.get_or_create_owned(&label("sink", sink));
        let durations = self.0.attempt_durations.get_or_create_owned(&label("sink", sink));
        let in_progress = self.in_progress().entry(sink.to_owned()).or_default().clone();
        SinkMetrics {
            sink: sink.to_owned(),
            in_flight,
            breaker,
            in_progress,
            durations,
            attempts: self.0.attempts.clone(),
        }
    }

    /// The age of the oldest attempt in flight for each sink.
    pub fn longest_attempts(&self) -> Vec<(String, Duration)> {
        self.in_progress().iter().map(|(sink, in_progress)| (sink.clone(), in_progress.longest())).collect()
    }

    fn in_progress(&self) -> MutexGuard<'_, BTreeMap<String, InFlight>> {
        self.0.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters of one lane.
    pub fn lane(&self, source: &str, sink: &str) -> LaneMetrics {
        let totals = Arc::clone(self.sinks().entry(sink.into()).or_default());
        let labels = [("source", source.to_owned()), ("sink", sink.to_owned())];
        let latencies = self.0.latencies.get_or_create_owned(&labels);
        LaneMetrics { labels, totals, latencies, last_success: OnceLock::new(), metrics: self.clone() }
    }

    /// Sets the size limit of the journal's events.
    pub fn bound_journal(&self, bytes: u64) {
        self.0.journal_max.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts a reload with its outcome: the new configuration was applied or refused.
    pub fn reloaded(&self, outcome: &'static str) {
        self.0.reloads.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    /// How many reloads had this `outcome`.
    pub fn reloads(&self, outcome: &'static str) -> u64 {
        self.0.reloads.get(&[("outcome", outcome.to_owned())]).map_or(0, |count| count.get())
    }

    /// What all sources have read and each sink has received in this run.
    pub(crate) fn counts(&self) -> Counts {
        let sinks = self.sinks();
        Counts {
            received: self.0.received_total.load(Ordering::Relaxed),
            sinks: sinks.iter().map(|(name, totals)| (Arc::clone(name), totals.read())).collect(),
        }
    }

    /// Whether the circuit breaker of `sink` is open.
    pub(crate) fn is_breaker_open(&self, sink: &str) -> bool {
        self.0.breakers.get(&label("sink", sink)).is_some_and(|breaker| breaker.get() > 0)
    }

    /// The share of its portal's rate limit that the last minute used; `None` if there is no limit, or no poll yet.
    pub(crate) fn budget_used(&self, source: &str) -> Option<f64> {
        self.0.budgets.get(&label("source", source)).map(|used| used.get())
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    fn sinks(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<SinkTotals>>> {
        self.0.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn label(name: &'static str, value: &str) -> Labels<1> {
    [(name, value.to_owned())]
}

/// The counters of one source.
pub struct SourceMetrics {
    source: String,
    metrics: Metrics,
}

impl SourceMetrics {
    /// Counts a poll that was answered after `duration`.
    pub fn answered(&self, duration: Duration) {
        self.polled("answered", duration);
        self.need_person(false);
    }

    /// Counts a poll that failed after `duration`.
    pub fn refused(&self, duration: Duration) {
        self.polled("refused", duration);
    }

    fn polled(&self, outcome: &str, duration: Duration) {
        let inner = &self.metrics.0;
        let labels = [("source", self.source.clone()), ("outcome", outcome.to_owned())];
        inner.polls.get_or_create(&labels).inc();
        inner.poll_durations.get_or_create(&label("source", &self.source)).observe(duration.as_secs_f64());
    }

    /// Counts a refusal by its class, which is one of a few fixed words.
    pub fn failed(&self, class: &str) {
        let labels = [("source", self.source.clone()), ("class", class.to_owned())];
        self.metrics.0.refusals.get_or_create(&labels).inc();
    }

    /// Records whether an operator must act, because waiting does not help.
    pub fn need_person(&self, needs_operator: bool) {
        let gauge = self.metrics.0.needs_operator.get_or_create(&label("source", &self.source));
        gauge.set(needs_operator.into());
    }

    /// Counts `event`, which was read when the portal's clock showed `portal_ms`.
    pub fn received(&self, event: &Event, portal_ms: i64) {
        let kind = self.kind(&event.kind).to_owned();
        let labels = [("source", self.source.clone()), ("type", kind)];
        let inner = &self.metrics.0;
        inner.received.get_or_create(&labels).inc();
        inner.received_total.fetch_add(1, Ordering::Relaxed);
        if let Some(date_ms) = event.date_ms() {
            let lag = seconds(portal_ms.saturating_sub(date_ms));
            inner.lags.get_or_create(&label("source", &self.source)).observe(lag);
        }
    }

    /// Records the share of the portal's rate limit that the last minute used.
    pub fn use_budget(&self, share: Option<f64>) {
        if let Some(share) = share {
            self.metrics.0.budgets.get_or_create(&label("source", &self.source)).set(share);
        }
    }

    /// The event type as a label: limited in number, and only plain words.
    fn kind<'k>(&self, kind: &'k str) -> &'k str {
        const OTHER: &str = "other";
        let mut kinds = self.metrics.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.get(&self.source).is_some_and(|known| known.contains(kind)) {
            return kind;
        }
        let known = kinds.entry(self.source.clone()).or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if kind.is_empty() || kind.len() > 64 || !kind.bytes().all(is_plain) || known.len() >= KINDS_MAX {
            return OTHER;
        }
        known.insert(kind.to_owned());
        kind
    }
}

impl Drop for SourceMetrics {
    /// After the source has ended, no operator has to act for it, and it uses no budget.
    fn drop(&mut self) {
        self.metrics.0.needs_operator.remove(&label("source", &self.source));
        self.metrics.0.budgets.remove(&label("source", &self.source));
    }
}

#[expect(clippy::cast_precision_loss, reason = "no event is old enough for that")]
fn seconds(millis: i64) -> f64 {
    millis.max(0) as f64 / 1000.0
}

/// The counters of one sink.
#[derive(Clone)]
pub struct SinkMetrics {
    sink: String,
    in_progress: InFlight,
    in_flight: Gauge,
    breaker: Gauge,
    durations: Histogram,
    attempts: Family<Labels<2>, Counter>,
}

impl SinkMetrics {
    /// The age of its oldest attempt in flight.
    pub fn longest_attempt(&self) -> Duration {
        self.in_progress.longest()
    }

    /// Records whether its circuit breaker is open.
    pub fn note_breaker(&self, is_open: bool) {
        self.breaker.set(is_open.into());
    }

    /// Records the start of an attempt; returns its number.
    pub fn begin(&self) -> u64 {
        self.in_flight.inc();
        self.in_progress.begin()
    }

    /// Records the end of this attempt; without an outcome it was cancelled.
    pub fn end(&self, number: u64, outcome: Option<Outcome>, duration: Duration) {
        self.in_flight.dec();
        self.in_progress.end(number);
        let Some(outcome) = outcome else { return };
        let labels = [("sink", self.sink.clone()), ("outcome", outcome.word().to_owned())];
        self.attempts.get_or_create(&labels).inc();
        self.durations.observe(duration.as_secs_f64());
    }
}

/// The counters of one lane.
pub struct LaneMetrics {
    labels: Labels<2>,
    totals: Arc<SinkTotals>,
    latencies: Histogram,
    /// Unset before the first success.
    last_success: OnceLock<Gauge>,
    metrics: Metrics,
}

impl LaneMetrics {
    /// Counts an event that the sink's key `reason` excluded.
    pub fn filtered(&self, reason: &'static str) {
        let [source, sink] = self.labels.clone();
        self.metrics.0.filtered.get_or_create(&[source, sink, ("reason", reason.to_owned())]).inc();
    }

    /// Counts an event that passed because the sink's `filter` could not be evaluated. Returns how many there were.
    pub fn filter_failed(&self) -> u64 {
        self.metrics.0.filter_failures.get_or_create(&self.labels).inc() + 1
    }

    /// Counts `event`, which was delivered when the portal's clock showed `portal_ms` and ours `now_ms`. Returns
    /// whether it is the first event that this process delivers to the sink, from any source.
    pub fn delivered(&self, event: &Event, portal_ms: i64, now_ms: i64) -> bool {
        let is_first_of_lane = self.last_success.get().is_none();
        self.totals.delivered.fetch_add(1, Ordering::Relaxed);
        let family = &self.metrics.0.last_success;
        let last_success = self.last_success.get_or_init(|| family.get_or_create_owned(&self.labels));
        last_success.set(now_ms.div_euclid(1000));
        if let Some(date_ms) = event.date_ms() {
            let latency_ms = portal_ms.saturating_sub(date_ms).max(0);
            self.totals.observe(latency_ms.unsigned_abs());
            self.latencies.observe(seconds(latency_ms));
        }
        is_first_of_lane && {
            let [_, (_, sink)] = &self.labels;
            self.metrics.0.reached.lock().unwrap_or_else(PoisonError::into_inner).insert(sink.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_strangers_are_few_and_plain() {
        let all = Metrics::default();
        let metrics = all.source("support");
        assert_eq!(metrics.kind("ONIMV2MESSAGEADD"), "ONIMV2MESSAGEADD");
        for hostile in ["", "a\"b", "a\nb", "a b", &"A".repeat(65)] {
            assert_eq!(metrics.kind(hostile), "other");
        }
        for number in 0..1000 {
            metrics.kind(&format!("KIND{number}"));
        }
        assert_eq!(all.0.kinds.lock().unwrap()["support"].len(), KINDS_MAX);
        let anew = all.source("support");
        assert_eq!((anew.kind("NEW"), anew.kind("KIND1")), ("other", "KIND1"), "also after a reload");
    }
}
