//! The delivery limiter of one sink: how many attempts at once, how many per second, and only a probe while the sink
//! fails. All lanes of the sink share it, so a recovering receiver gets a single attempt.

#[cfg(test)]
mod tests;
mod waiters;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::waiters::Waiters;
use crate::config::{Outcome, SinkConfig, ThroughputConfig};
use crate::event::Event;
use crate::retry::Backoff;
use crate::service::{Metrics, SinkMetrics};
use crate::sink::{DeliverError, Mark, Sink};

/// The shortest and the longest delay between probes while the operator must act. An operator at work on the receiver
/// need not find a flood of attempts.
const PROBE_MIN: Duration = Duration::from_secs(60);
const PROBE_MAX: Duration = Duration::from_secs(300);

/// How far attempts may catch up with their rate after a pause, because timers are not exact.
const RATE_SLACK: Duration = Duration::from_millis(50);

/// The limiter of one sink.
///
/// Permits are given in the order of requests, across all lanes; each lane has a [`Ticket`]. After a failure, every
/// successful attempt allows one more at a time.
pub(crate) struct DeliveryLimiter {
    sink: Arc<dyn Sink>,
    flow: ThroughputConfig,
    metrics: SinkMetrics,
    state: Mutex<State>,
    /// Notified when an attempt has ended, and when the operator asks for a retry.
    changed: Notify,
}

struct State {
    /// How many attempts are in flight.
    in_flight: usize,
    /// How many attempts may be in flight.
    allowance: usize,
    /// Failed attempts in a row, since the last success.
    failures: u32,
    /// When a probe is let in; `None` while the breaker is closed.
    open_until: Option<Instant>,
    /// How often the breaker has opened. An attempt that began before the last time says nothing new.
    trips: u64,
    /// How often it has opened since the last success.
    trips_in_a_row: u32,
    /// It opened because the operator must act.
    needs_operator: bool,
    /// The reason of the failure that opened it.
    trouble: String,
    /// Events in a row that were rejected for good, since the last delivered one.
    rejections: u32,
    /// How many attempts have succeeded.
    successes: u64,
    /// When the rate allows the next attempt.
    slot: Instant,
    retry: Backoff,
    probe: Backoff,
    /// The longest delay between two attempts.
    probe_max: Duration,
    waiters: Waiters,
}

/// The state of the circuit breaker, the same for every lane of the sink.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BreakerState {
    /// Attempts are let in, as many as the sink's configuration allows.
    Closed,
    /// A single attempt is let in after `until`, to see whether the sink has recovered.
    Open {
        /// It does not recover unless the operator acts.
        needs_operator: bool,
        /// Why the sink failed.
        reason: String,
        /// When the next attempt is made.
        until: Instant,
    },
}

/// A lane's place in the queue for permits. The place is kept until [`Ticket::admit`] has returned or the ticket is
/// dropped, however often `admit` is cancelled in between.
pub(crate) struct Ticket {
    limiter: Arc<DeliveryLimiter>,
    number: u64,
    wake: Arc<Notify>,
}

/// A call of [`Ticket::admit`] in progress. When it ends, the next waiter may take the permit.
struct Asking<'t>(&'t Ticket);

/// The presumed cause of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blame {
    /// The sink, because nothing says otherwise.
    Sink,
    /// The events alone: other events were delivered since these failed before.
    Events,
}

/// The right to make one attempt.
pub(crate) struct Permit {
    limiter: Arc<DeliveryLimiter>,
    trips: u64,
}

impl DeliveryLimiter {
    /// Creates the limiter of `sink`, which `config` describes. The results of its attempts are counted in `metrics`.
    pub(crate) fn new(sink: Arc<dyn Sink>, config: &SinkConfig, metrics: &Metrics) -> Arc<Self> {
        let metrics = metrics.sink(&config.name);
        let (retry, flow) = (config.retry, config.flow);
        let state = State {
            in_flight: 0,
            allowance: usize::from(flow.concurrency),
            failures: 0,
            open_until: None,
            trips: 0,
            trips_in_a_row: 0,
            needs_operator: false,
            trouble: String::new(),
            rejections: 0,
            successes: 0,
            slot: Instant::now(),
            retry: Backoff::jittered(retry.min, retry.max),
            probe: Backoff::steady(PROBE_MIN.min(retry.max), PROBE_MAX.min(retry.max)),
            probe_max: retry.max,
            waiters: Waiters::default(),
        };
        Arc::new(Self { sink, flow, metrics, state: Mutex::new(state), changed: Notify::new() })
    }

    /// The sink behind the limiter.
    pub(crate) fn sink(&self) -> &Arc<dyn Sink> {
        &self.sink
    }

    /// How long the oldest attempt has been in flight; zero when there is none.
    pub(crate) fn longest_attempt(&self) -> Duration {
        self.metrics.longest_attempt()
    }

    /// A ticket for the queue for permits. Its holder joins the queue with the first request.
    pub(crate) fn ticket(self: &Arc<Self>) -> Ticket {
        let number = self.state().waiters.number();
        Ticket { limiter: Arc::clone(self), number, wake: Arc::new(Notify::new()) }
    }

    /// Waits for the right to make an attempt. When cancelled, it has taken nothing and loses its place.
    #[cfg(test)]
    pub(crate) async fn admit(self: &Arc<Self>) -> Permit {
        self.ticket().admit().await
    }

    /// How many attempts have succeeded. If that number has grown since a failure, the failed events are the cause.
    pub(crate) fn successes(&self) -> u64 {
        self.state().successes
    }

    /// Whether only a probe is let in.
    pub(crate) fn is_tripped(&self) -> bool {
        self.state().open_until.is_some()
    }

    /// Whether attempts are made, and if not, why.
    pub(crate) fn status(&self) -> BreakerState {
        let state = self.state();
        match state.open_until {
            None => BreakerState::Closed,
            Some(until) => BreakerState::Open {
                needs_operator: state.needs_operator,
                reason: state.trouble.clone(),
                until,
            },
        }
    }

    /// Waits until the condition differs from `known`, and returns it.
    pub(crate) async fn breaker_other_than(&self, known: &BreakerState) -> BreakerState {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let status = self.status();
            if status != *known {
                return status;
            }
            changed.await;
        }
    }

    /// Waits until there is no point in waiting for the sink any longer: the operator must act, or the breaker has opened
    /// `trips_max` times in a row. This is for callers that need a result.
    pub(crate) async fn is_exhausted(&self, trips_max: u32) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.state().is_exhausted(trips_max) {
                return;
            }
            changed.await;
        }
    }

    /// Lets the next attempt begin at once, because the operator asks for a retry.
    pub(crate) fn retry_now(&self) {
        let mut state = self.state();
        if state.open_until.is_some() {
            state.open_until = Some(Instant::now());
        }
        state.waiters.wake_next();
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits for the right to make an attempt, behind earlier requests that still wait. When cancelled, it has taken
    /// nothing: others are served meanwhile, and the next call continues at the same place.
    pub(crate) async fn admit(&mut self) -> Permit {
        let asking = Asking::begin(self);
        loop {
            match asking.take() {
                Ok(permit) => return permit,
                Err(Some(at)) => {
                    tokio::select! { () = self.wake.notified() => {}, () = sleep_until(at) => {} }
                }
                Err(None) => self.wake.notified().await,
            }
        }
    }

    /// Gives up the place in the queue.
    #[cfg_attr(not(test), expect(dead_code, reason = "a lane that has nothing to send is passed over"))]
    pub(crate) fn leave(&mut self) {
        self.limiter.state().waiters.leave(self.number);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.limiter.state().waiters.leave(self.number);
    }
}

impl<'t> Asking<'t> {
    fn begin(ticket: &'t Ticket) -> Self {
        ticket.limiter.state().waiters.ask(ticket.number, &ticket.wake);
        Self(ticket)
    }

    /// The permit, or the time until which to wait. Without a time, wait until woken.
    fn take(&self) -> Result<Permit, Option<Instant>> {
        let Ticket { limiter, number, .. } = self.0;
        let mut state = limiter.state();
        if !state.waiters.is_next(*number) {
            return Err(None);
        }
        let trips = state.admit(Instant::now(), &limiter.flow)?;
        state.waiters.leave(*number);
        Ok(Permit { limiter: Arc::clone(limiter), trips })
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.limiter.state();
        state.waiters.stop_asking(self.0.number);
        state.waiters.wake_next();
    }
}

impl Permit {
    /// Makes the attempt.
    pub(crate) async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError> {
        let attempt = Counted::begin(&self.limiter.metrics);
        let outcome = self.limiter.sink.deliver(events).await;
        attempt.end(outcome_of(outcome.as_ref().err()));
        outcome
    }

    /// Notes that the sink took the events.
    pub(crate) fn succeed(self) {
        let mut state = self.limiter.state();
        state.rejections = 0;
        state.successes += 1;
        state.close(&self.limiter.flow);
    }

    /// Notes that the sink works but has not taken the events: they are sent again in another way.
    pub(crate) fn answer(self) {
        self.limiter.state().close(&self.limiter.flow);
    }

    /// Notes that the sink works and rejects one event for good, for `reason`. After `hold_after_rejections` such
    /// events in a row the breaker opens until the operator acts, and the reason to report is returned.
    pub(crate) fn reject(self, reason: &str) -> Option<String> {
        let mut state = self.limiter.state();
        state.rejections = state.rejections.saturating_add(1);
        if state.rejections < self.limiter.flow.hold_after_rejections {
            state.close(&self.limiter.flow);
            return None;
        }
        if self.trips != state.trips {
            return None;
        }
        let trouble = format!("rejects every event ({0} of {0}): {reason}", state.rejections);
        let delay = state.probe.next_delay();
        state.trip(Instant::now() + delay, true, trouble.clone());
        Some(trouble)
    }

    /// Notes that the attempt failed. On their own, its events would wait for `delay`; `blame` says whether others were
    /// delivered since they failed before. Returns how long they are to wait, and whether the breaker is open for that
    /// time.
    pub(crate) fn fail(
        self,
        failure: &DeliverError,
        delay: Duration,
        blame: Blame,
    ) -> (Duration, DeliveryLimiters) {
        let (mut state, now) = (self.limiter.state(), Instant::now());
        if blame == Blame::Events {
            let wait = match failure {
                DeliverError::Held { wait, .. } => {
                    PROBE_MIN.min(state.probe_max).max(wait.unwrap_or_default())
                }
                DeliverError::Transient { wait, .. } => wait.unwrap_or_default(),
                _ => Duration::ZERO,
            };
            return (delay.max(wait), DeliveryLimiters::Open);
        }
        if self.trips != state.trips {
            return (delay, DeliveryLimiters::ClosedBefore);
        }
        if let DeliverError::Rejected { .. } = failure {
            return (delay, DeliveryLimiters::Open);
        }
        state.failures = state.failures.saturating_add(1);
        let delay = match failure {
            // The cause may be these events alone: an attempt with another event shows it soon.
            DeliverError::Held { wait, .. } if state.trips_in_a_row == 0 => {
                state.retry.next_delay().max(delay).max(wait.unwrap_or_default())
            }
            DeliverError::Held { wait, .. } => state.probe.next_delay().max(wait.unwrap_or_default()),
            DeliverError::Closed { .. } | DeliverError::Paused { .. } => state.probe.next_delay(),
            DeliverError::Transient { wait: Some(wait), .. } => {
                state.retry.next_delay().max(delay).max(*wait)
            }
            DeliverError::Transient { .. } | DeliverError::Rejected { .. } => {
                if state.failures < u32::from(self.limiter.flow.breaker_failures) {
                    return (delay, DeliveryLimiters::Open);
                }
                state.retry.next_delay().max(delay)
            }
        };
        state.trip(now + delay, matches!(failure, DeliverError::Held { .. }), failure.to_string());
        (delay, DeliveryLimiters::Closed)
    }
}

/// Whether other attempts may pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeliveryLimiters {
    /// They may: the failure concerns the events of one attempt.
    Open,
    /// They may not: the sink as a whole is left alone.
    Closed,
    /// They may not, and this was reported before: the attempt began while the breaker was closed.
    ClosedBefore,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.in_flight -= 1;
        state.waiters.wake_next();
        self.limiter.metrics.note_breaker(state.open_until.is_some());
        drop(state);
        self.limiter.changed.notify_waiters();
    }
}

/// Counts an attempt, even one that is abandoned.
struct Counted<'f> {
    metrics: &'f SinkMetrics,
    number: u64,
    began: Instant,
    outcome: Option<Outcome>,
}

impl<'f> Counted<'f> {
    fn begin(metrics: &'f SinkMetrics) -> Self {
        Self { metrics, number: metrics.begin(), began: Instant::now(), outcome: None }
    }

    fn end(mut self, outcome: Option<Outcome>) {
        self.outcome = outcome;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.end(self.number, self.outcome, self.began.elapsed());
    }
}

fn outcome_of(failure: Option<&DeliverError>) -> Option<Outcome> {
    Some(match failure {
        None => Outcome::Delivered,
        Some(DeliverError::Transient { .. }) => Outcome::Transient,
        Some(DeliverError::Rejected { .. }) => Outcome::Rejected,
        Some(DeliverError::Held { .. }) => Outcome::Held,
        Some(DeliverError::Paused { .. }) => Outcome::Paused,
        Some(DeliverError::Closed { .. }) => return None,
    })
}

impl State {
    fn is_exhausted(&self, trips_max: u32) -> bool {
        self.needs_operator || self.trips_in_a_row >= trips_max
    }

    /// Closes the breaker, because the sink answers. One more attempt at a time is allowed.
    fn close(&mut self, flow: &ThroughputConfig) {
        self.failures = 0;
        (self.trips_in_a_row, self.needs_operator) = (0, false);
        self.open_until = None;
        self.trouble.clear();
        self.allowance = usize::from(flow.concurrency).min(self.allowance + 1);
        self.retry.reset();
        self.probe.reset();
    }

    /// Lets nothing in before `until`, and then a single attempt.
    fn trip(&mut self, until: Instant, needs_operator: bool, trouble: String) {
        self.open_until = Some(until);
        self.trips += 1;
        self.trips_in_a_row += 1;
        self.needs_operator = needs_operator;
        self.trouble = trouble;
        self.allowance = 1;
    }

    /// Counts an attempt in, or returns the time until which to wait. Without a time, wait for another attempt to end.
    fn admit(&mut self, now: Instant, flow: &ThroughputConfig) -> Result<u64, Option<Instant>> {
        match self.open_until {
            Some(until) if now < until => return Err(Some(until)),
            Some(_) if self.in_flight > 0 => return Err(None),
            None if self.in_flight >= self.allowance => return Err(None),
            Some(_) | None => {}
        }
        if let Some(interval) = flow.interval {
            if now < self.slot {
                return Err(Some(self.slot));
            }
            let earliest = now.checked_sub(RATE_SLACK).unwrap_or(now);
            self.slot = self.slot.max(earliest) + interval;
        }
        self.in_flight += 1;
        Ok(self.trips)
    }
}
