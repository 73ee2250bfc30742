//! One sink's gate: how many attempts at once, how many in a second, and none but a probe while the sink is
//! in trouble. All lanes of the sink go through it, so that a receiver that comes back meets one of them.
//!
//! After trouble it opens gently: every attempt that succeeds lets one more in at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::config::{FlowConfig, Outcome, SinkConfig};
use crate::event::Event;
use crate::retry::Backoff;
use crate::service::{Figures, SinkFigures};
use crate::sink::{DeliverError, Mark, Sink};

/// How a gate in need of a person lets probes in: one is on the way, and need not find a flood of attempts.
const PROBE_MIN: Duration = Duration::from_secs(60);
const PROBE_MAX: Duration = Duration::from_secs(300);

/// By how much attempts may catch up with their rate after a pause: timers are not exact.
const RATE_SLACK: Duration = Duration::from_millis(50);

/// See the top of this file.
pub struct Gate {
    sink: Arc<dyn Sink>,
    flow: FlowConfig,
    figures: SinkFigures,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// How many attempts are under way.
    in_flight: usize,
    /// How many may be.
    allowance: usize,
    /// In a row, since the last success.
    failures: u32,
    /// When a probe is let in; `None` while it is open.
    closed_until: Option<Instant>,
    /// How often it was closed: what began before says nothing new.
    closings: u64,
    /// The same since the last success.
    closings_in_a_row: u32,
    /// It was closed because a person must act.
    needs_person: bool,
    /// When the rate allows the next attempt.
    slot: Instant,
    retry: Backoff,
    probe: Backoff,
}

/// The right to make one attempt.
pub struct Pass {
    gate: Arc<Gate>,
    closings: u64,
}

impl Gate {
    /// The gate of `sink`, which `config` describes; what comes of its attempts goes into `figures`.
    pub fn new(sink: Arc<dyn Sink>, config: &SinkConfig, figures: &Figures) -> Arc<Self> {
        let figures = figures.sink(&config.name);
        let (retry, flow) = (config.retry, config.flow);
        let state = State {
            in_flight: 0,
            allowance: usize::from(flow.concurrency),
            failures: 0,
            closed_until: None,
            closings: 0,
            closings_in_a_row: 0,
            needs_person: false,
            slot: Instant::now(),
            retry: Backoff::jittered(retry.min, retry.max),
            probe: Backoff::steady(PROBE_MIN.min(retry.max), PROBE_MAX.min(retry.max)),
        };
        Arc::new(Self { sink, flow, figures, state: Mutex::new(state), changed: Notify::new() })
    }

    /// The sink behind it.
    pub fn sink(&self) -> &Arc<dyn Sink> {
        &self.sink
    }

    /// For how long its oldest attempt has been under way; zero when there is none.
    pub fn longest_attempt(&self) -> Duration {
        self.figures.longest_attempt()
    }

    /// Waits for the right to make an attempt. Whoever stops waiting has taken nothing.
    pub async fn admit(self: &Arc<Self>) -> Pass {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let wait = match self.state().admit(Instant::now(), &self.flow) {
                Ok(closings) => return Pass { gate: Arc::clone(self), closings },
                Err(wait) => wait,
            };
            match wait {
                Some(at) => tokio::select! { () = changed => {}, () = sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }

    /// Waits until there is no sense in waiting for the sink any longer, for whoever wants an answer: a person
    /// must act, or it was closed `closings_max` times in a row.
    pub async fn is_hopeless(&self, closings_max: u32) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.state().is_hopeless(closings_max) {
                return;
            }
            changed.await;
        }
    }

    /// A person asks to look again: the next attempt need not wait.
    pub fn hasten(&self) {
        let mut state = self.state();
        if state.closed_until.is_some() {
            state.closed_until = Some(Instant::now());
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Makes the attempt.
    ///
    /// # Errors
    /// As [`Sink::deliver`].
    pub async fn deliver(&self, events: &[&Event]) -> Result<Option<Mark>, DeliverError> {
        let attempt = Counted::begin(&self.gate.figures);
        let outcome = self.gate.sink.deliver(events).await;
        attempt.end(outcome_of(outcome.as_ref().err()));
        outcome
    }

    /// The sink is well: it took the events, or gave a reason of its own why it never will.
    pub fn succeed(self) {
        let mut state = self.gate.state();
        state.failures = 0;
        (state.closings_in_a_row, state.needs_person) = (0, false);
        state.closed_until = None;
        state.allowance = usize::from(self.gate.flow.concurrency).min(state.allowance + 1);
        state.retry.reset();
        state.probe.reset();
    }

    /// The attempt failed, and its events would by themselves wait for `delay`. Returns how long they are
    /// to wait, and whether the gate is closed for as long.
    pub fn fail(self, failure: &DeliverError, delay: Duration) -> (Duration, Gates) {
        let (mut state, now) = (self.gate.state(), Instant::now());
        if self.closings != state.closings {
            return (delay, Gates::ClosedBefore);
        }
        if let DeliverError::Rejected { .. } = failure {
            return (delay, Gates::Open);
        }
        state.failures = state.failures.saturating_add(1);
        let delay = match failure {
            DeliverError::Held { wait, .. } => state.probe.next_delay().max(wait.unwrap_or_default()),
            DeliverError::Closed { .. } | DeliverError::Paused { .. } => state.probe.next_delay(),
            DeliverError::Transient { wait: Some(wait), .. } => {
                state.retry.next_delay().max(delay).max(*wait)
            }
            DeliverError::Transient { .. } | DeliverError::Rejected { .. } => {
                if state.failures < u32::from(self.gate.flow.breaker_failures) {
                    return (delay, Gates::Open);
                }
                state.retry.next_delay().max(delay)
            }
        };
        state.closed_until = Some(now + delay);
        state.closings += 1;
        state.closings_in_a_row += 1;
        state.needs_person = matches!(failure, DeliverError::Held { .. });
        state.allowance = 1;
        (delay, Gates::Closed)
    }
}

/// Whether others may pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gates {
    /// They may: it is about the events of one attempt.
    Open,
    /// They may not: the sink as a whole is left in peace.
    Closed,
    /// They may not, and it was said before: the attempt began while the gate was open.
    ClosedBefore,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.state().in_flight -= 1;
        self.gate.changed.notify_waiters();
    }
}

/// An attempt as it is counted, also when it is given up.
struct Counted<'f> {
    figures: &'f SinkFigures,
    number: u64,
    began: Instant,
    outcome: Option<Outcome>,
}

impl<'f> Counted<'f> {
    fn begin(figures: &'f SinkFigures) -> Self {
        Self { figures, number: figures.begin(), began: Instant::now(), outcome: None }
    }

    fn end(mut self, outcome: Option<Outcome>) {
        self.outcome = outcome;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.figures.end(self.number, self.outcome, self.began.elapsed());
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
    fn is_hopeless(&self, closings_max: u32) -> bool {
        self.needs_person || self.closings_in_a_row >= closings_max
    }

    /// Counts an attempt in, or says until when to wait; without a time it is for another's end.
    fn admit(&mut self, now: Instant, flow: &FlowConfig) -> Result<u64, Option<Instant>> {
        match self.closed_until {
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
        Ok(self.closings)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::config::{RetryConfig, StartConfig, StdoutConfig, StdoutFormat, TargetConfig};
    use crate::shutdown::Signals;
    use crate::sink;

    const SECOND: Duration = Duration::from_secs(1);

    fn gate(flow: FlowConfig) -> Arc<Gate> {
        let config = SinkConfig {
            name: "crm".into(),
            target: TargetConfig::Stdout(StdoutConfig { format: StdoutFormat::Json }),
            sources: None,
            events: None,
            retry: RetryConfig { min: SECOND, max: 300 * SECOND },
            max_event_age: None,
            start: StartConfig::Oldest,
            flow,
        };
        Gate::new(sink::build(&config, &Signals::silent()).unwrap(), &config, &Figures::default())
    }

    fn flow(concurrency: u16, breaker_failures: u16) -> FlowConfig {
        FlowConfig { concurrency, breaker_failures, ..FlowConfig::STRICT }
    }

    fn transient(wait: Option<Duration>) -> DeliverError {
        DeliverError::Transient { reason: "no".into(), wait }
    }

    /// As many as are let in at this moment.
    fn admitted(gate: &Arc<Gate>) -> Vec<Pass> {
        std::iter::from_fn(|| gate.admit().now_or_never()).take(100).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_allowed_are_under_way() {
        let gate = gate(flow(3, 10));
        let mut passes = admitted(&gate);
        assert_eq!(passes.len(), 3);
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.admit().await }
        });
        tokio::task::yield_now().await;
        passes.pop();
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_failures_leave_a_single_probe_and_success_opens_gently() {
        let gate = gate(flow(8, 3));
        let mut passes = admitted(&gate);
        assert_eq!(passes.pop().unwrap().fail(&transient(None), SECOND), (SECOND, Gates::Open));
        assert_eq!(passes.pop().unwrap().fail(&transient(None), SECOND), (SECOND, Gates::Open));
        let (delay, gates) = passes.pop().unwrap().fail(&transient(None), SECOND);
        assert_eq!(gates, Gates::Closed);
        // What began before it was closed changes nothing any more.
        for pass in passes {
            assert_eq!(pass.fail(&transient(None), SECOND).1, Gates::ClosedBefore);
        }
        assert_eq!(admitted(&gate).len(), 0);
        tokio::time::advance(delay).await;
        let mut probes = admitted(&gate);
        assert_eq!(probes.len(), 1);
        let (delay, gates) = probes.pop().unwrap().fail(&transient(None), SECOND);
        assert_eq!((gates, admitted(&gate).len()), (Gates::Closed, 0));
        tokio::time::advance(delay).await;
        let mut under_way = admitted(&gate);
        assert_eq!(under_way.len(), 1);
        for expected in [2, 4, 8, 8] {
            under_way.into_iter().for_each(Pass::succeed);
            under_way = admitted(&gate);
            assert_eq!(under_way.len(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_for_time_gets_it_from_everybody() {
        let gate = gate(flow(8, 10));
        let (wait, nearly) = (30 * SECOND, 29 * SECOND);
        let pass = gate.admit().await;
        assert_eq!(pass.fail(&transient(Some(wait)), SECOND), (wait, Gates::Closed));
        tokio::time::advance(nearly).await;
        assert_eq!(admitted(&gate).len(), 0);
        tokio::time::advance(SECOND).await;
        assert_eq!(admitted(&gate).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_needs_a_person_is_probed_rarely_or_when_the_person_asks() {
        let gate = gate(flow(8, 10));
        let (delay, gates) =
            gate.admit().await.fail(&DeliverError::Held { reason: "no".into(), wait: None }, SECOND);
        assert_eq!(gates, Gates::Closed);
        assert!(delay >= PROBE_MIN * 8 / 10, "{delay:?}");
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.admit().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        gate.hasten();
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_wants_an_answer_need_not_wait_for_ever() {
        let gate = gate(flow(2, 1));
        for closings in 1..=3 {
            assert!(gate.is_hopeless(3).now_or_never().is_none(), "{closings}");
            let (delay, _) = gate.admit().await.fail(&transient(None), SECOND);
            tokio::time::advance(delay).await;
        }
        assert!(gate.is_hopeless(3).now_or_never().is_some());
        gate.admit().await.succeed();
        assert!(gate.is_hopeless(3).now_or_never().is_none());
        gate.admit().await.fail(&DeliverError::Held { reason: "no".into(), wait: None }, SECOND);
        assert!(gate.is_hopeless(3).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn rejections_do_not_close_it() {
        let gate = gate(flow(1, 1));
        let rejected = DeliverError::Rejected {
            reason: "no".into(),
            status: Some(422),
            answer: String::new(),
            is_final: false,
        };
        for _ in 0..5 {
            assert_eq!(gate.admit().await.fail(&rejected, SECOND), (SECOND, Gates::Open));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_keep_to_their_rate() {
        let gate = gate(FlowConfig { interval: Some(SECOND / 50), ..flow(8, 10) });
        let start = Instant::now();
        for _ in 0..500 {
            gate.admit().await.succeed();
        }
        let (took, slack) = (start.elapsed(), RATE_SLACK + SECOND / 50);
        assert!(took <= 10 * SECOND && took + slack >= 10 * SECOND, "{took:?}");
    }
}
