//! Polls one queue of a portal: the polls, token refreshes, refusals, and the notes about them for `status`.
//!
//! Keeps I7: a stop is looked at only while waiting for the portal, never during a token refresh.

use std::time::Duration;

use b24_client::{CallError, Class};
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use crate::config::PollConfig;
use crate::event::{Batch, Event, OddEvents, Offset, Queue};
use crate::failpoint;
use crate::log_code;
use crate::relay::clock::PortalClock;
use crate::relay::clock::SKEW_MAX;
use crate::relay::context::EngineContext;
use crate::relay::outcome::Ending;
use crate::relay::outcome::Until;
use crate::relay::source::pace::{Pace, Polled};
use crate::relay::source::preflight::Preflight;
use crate::relay::source::retention::Coverage;
use crate::relay::source::upstream::Upstream;
use crate::retry::whole_millis;
use crate::service::{Heartbeat, Liveness, SourceMetrics};
use crate::shutdown::{Signals, Wake};
use crate::store::{Activity, Health, Store};
use crate::wall_clock;

/// How often a healthy source notes its last poll for `status`.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

/// How often a source that needs the operator checks for a new login.
pub(crate) const LOGIN_INTERVAL: Duration = Duration::from_secs(5);

/// The longest that a poll may take before its loop counts as stuck, not counting the wait for its turn at the portal.
/// A refresh, a subscription and two reads of the queue must fit.
const POLL_MAX: Duration = Duration::from_secs(300);

/// The same limit in request timeouts, for sources whose requests may take long.
const POLL_TIMEOUTS: u32 = 6;

/// How often a poll that waits for its turn checks whether others have had theirs.
const TURNS_INTERVAL: Duration = Duration::from_secs(15);

/// How late a pause may end before the loop counts as stuck.
const PAUSE_SLACK: Duration = Duration::from_secs(30);

/// How many failed polls in a row end a drain: the operator is waiting for a result.
const DRAIN_FAILURES_MAX: u32 = 5;

/// The state when a step began. A change since then ends the pause after the step.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    nudge_count: u64,
    epoch: u64,
}

pub(crate) struct Poller {
    upstream: Box<dyn Upstream>,
    preflight: Preflight,
    pace: Pace,
    clock: PortalClock,
    coverage: Coverage,
    store: Store,
    signals: Signals,
    until: Until,
    failures: u32,
    activity: Activity,
    was_strained: bool,
    is_skewed: bool,
    noted_at: Option<Instant>,
    metrics: SourceMetrics,
    heartbeat: Heartbeat,
    liveness: Liveness,
    timeout: Duration,
    /// The first answer was logged.
    has_answered: bool,
    /// How many skips were known when an unreadable event stopped the last poll, if one did.
    skips: Option<usize>,
}

impl Poller {
    /// Creates a poller of a queue that belongs to the user `owner`, if it belongs to a user.
    pub(crate) fn new(
        upstream: Box<dyn Upstream>,
        owner: Option<u64>,
        poll: &PollConfig,
        coverage: Coverage,
        context: &EngineContext,
    ) -> Self {
        let source = upstream.queue().source.to_string();
        Self {
            upstream,
            preflight: Preflight::new(owner),
            pace: Pace::new(*poll),
            clock: coverage.clock().clone(),
            store: context.store.clone(),
            signals: context.signals.clone(),
            until: context.until,
            coverage,
            failures: 0,
            activity: Activity::Polling { due_ms: 0 },
            was_strained: false,
            is_skewed: false,
            noted_at: None,
            metrics: context.telemetry.metrics.source(&source),
            heartbeat: context.telemetry.liveness.heartbeat(&source),
            liveness: context.telemetry.liveness.clone(),
            timeout: poll.timeout,
            has_answered: false,
            skips: None,
        }
    }

    /// Up to when the source's events are safe.
    pub(crate) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The queue that it polls.
    pub(crate) fn queue(&self) -> &Queue {
        self.upstream.queue()
    }

    /// The source's name.
    pub(crate) fn name(&self) -> &str {
        &self.upstream.queue().source
    }

    /// Notes that nothing is asked for a while, so nothing is late.
    pub(crate) fn rest(&self) {
        self.heartbeat.rest();
    }

    /// Notes that polling waits until `sink` has the events that were read.
    pub(crate) async fn note_held_back(&mut self, sink: &str) {
        let trouble = format!("waits for the sink `{sink}`, as `delivery.hold` is \"forever\"");
        self.note_blocked(Some(sink.to_owned()), trouble).await;
    }

    /// Notes that polling has stopped because of a sink; `None` stands for one that is no longer configured.
    pub(crate) async fn note_blocked(&mut self, sink: Option<String>, trouble: String) {
        self.note_change(Activity::Blocked { sink, trouble }).await;
        // The source counts as tried, because the duration depends on the sink.
        self.liveness.tried(self.name());
    }

    /// The error for `odd`, in the answer to a poll from `offset`. `skips` is how many skips were known.
    pub(crate) fn odd(&mut self, odd: &OddEvents, offset: Offset, skips: usize) -> CallError {
        self.skips = Some(skips);
        CallError::odd(self.upstream.method(), odd, offset)
    }

    /// The present state.
    pub(crate) fn moment(&self) -> Moment {
        Moment { nudge_count: self.signals.nudge_count(), epoch: self.upstream.epoch() }
    }

    /// Polls from `offset`, with a refreshed token if necessary. The first `again` events were read before. Returns
    /// `None` when a stop came first.
    pub(crate) async fn poll(&mut self, offset: Offset, again: usize) -> Option<Result<Batch, CallError>> {
        let (limit, asked_at) = (self.pace.limit(again), Instant::now());
        self.skips = None;
        let answer = self.ask_twice(offset, limit).await?;
        // The time that deliveries take does not count as a stuck loop.
        self.heartbeat.rest();
        self.metrics.use_budget(self.upstream.budget_used());
        match &answer {
            Ok(batch) if batch.odd.is_empty() => self.metrics.answered(asked_at.elapsed()),
            Ok(_) | Err(_) => self.metrics.refused(asked_at.elapsed()),
        }
        if let Ok(batch) = &answer {
            self.liveness.tried(&self.upstream.queue().source);
            match batch.portal_ms {
                Some(portal_ms) => {
                    self.clock.note(portal_ms);
                    self.tell_skew();
                }
                None => self.clock.hear(),
            }
        }
        Some(answer)
    }

    /// Warns once when the clocks differ by [`SKEW_MAX`] or more: one of them is wrong.
    fn tell_skew(&mut self) {
        let (skew_s, was_skewed) = (self.clock.skew_ms() / 1000, self.is_skewed);
        self.is_skewed = skew_s.unsigned_abs() >= SKEW_MAX.as_secs();
        if self.is_skewed && !was_skewed {
            let hint = "correct this machine's clock, or ask whose the portal's is";
            warn!(code = %log_code::CLOCK_SKEW, source = self.name(), skew_s, hint, "this machine's clock and the portal's differ");
        }
    }

    /// Polls, and once more with a refreshed token if necessary.
    async fn ask_twice(&mut self, offset: Offset, limit: u16) -> Option<Result<Batch, CallError>> {
        match self.ask(offset, limit).await? {
            Err(refusal) if refusal.class == Class::Refresh => {
                // Do not let a stop cancel this: a token pair that was issued and not stored would be a lost login.
                if let Err(refusal) = self.upstream.renew(refusal).await {
                    return Some(Err(refusal));
                }
                self.ask(offset, limit).await
            }
            answer => Some(answer),
        }
    }

    /// Logs once which queue is read, and how many events are waiting in it.
    pub(crate) fn tell_first_answer(&mut self, count: usize, has_more: bool) {
        if std::mem::replace(&mut self.has_answered, true) {
            return;
        }
        let queue = &self.queue().identity;
        let waiting = if has_more { format!("{count} or more") } else { count.to_string() };
        info!(source = self.name(), %queue, waiting, "the portal answers: events are read");
    }

    /// Counts events that were read for the first time.
    pub(crate) fn received(&mut self, events: &[Event]) {
        let portal_ms = self.clock.now_ms();
        for event in events {
            self.metrics.received(event, portal_ms);
        }
    }

    /// Prepares and polls, unless a stop comes first.
    async fn ask(&mut self, offset: Offset, limit: u16) -> Option<Result<Batch, CallError>> {
        let (upstream, preflight) = (self.upstream.as_ref(), &mut self.preflight);
        let bound = POLL_MAX.max(POLL_TIMEOUTS * self.timeout);
        self.heartbeat.beat(bound);
        let turns = async {
            let mut seen = None;
            loop {
                sleep(TURNS_INTERVAL).await;
                let turns = upstream.turns();
                if turns.is_some() && turns != seen {
                    self.heartbeat.beat(bound);
                }
                seen = turns;
            }
        };
        tokio::select! {
            biased;
            () = self.signals.stop.cancelled() => None,
            answer = preflight.poll(upstream, offset, limit) => Some(answer),
            () = turns => None,
        }
    }

    /// Whether polls come near the limit of their operating time. A change is logged.
    pub(crate) fn is_strained(&mut self) -> bool {
        let is_strained = self.upstream.is_strained();
        match (self.was_strained, is_strained) {
            (false, true) => warn!(
                code = %log_code::OPERATING_TIME_SHORT,
                source = self.name(),
                "the portal's operating time for polls is nearly used up: polling only every `poll.idle_max`"
            ),
            (true, false) => info!(source = self.name(), "the portal's operating time has recovered"),
            _ => {}
        }
        self.was_strained = is_strained;
        is_strained
    }

    /// The pause after a poll that was answered.
    pub(crate) fn pause_after(&mut self, polled: Polled) -> Duration {
        self.pace.after_poll(polled)
    }

    /// Waits, but no longer than it takes to notice a new login if that may fix the problem.
    pub(crate) async fn pause(&self, pause: Duration, since: Moment) -> Wake {
        self.heartbeat.beat(pause + PAUSE_SLACK);
        failpoint::stuck("pausing").await;
        let end = Instant::now() + pause;
        while self.needs_operator() && end - Instant::now() > LOGIN_INTERVAL {
            match self.signals.pause(LOGIN_INTERVAL, since.nudge_count).await {
                Wake::Elapsed if self.has_new_login(since.epoch).await || self.has_new_skip().await => {
                    return Wake::Elapsed;
                }
                Wake::Elapsed => {}
                wake @ (Wake::Nudged | Wake::Stopping) => return wake,
            }
        }
        self.signals.pause(end - Instant::now(), since.nudge_count).await
    }

    /// Whether the operator must act after the last refusal.
    fn needs_operator(&self) -> bool {
        matches!(self.activity, Activity::Refused { .. })
    }

    /// Whether there is another login than at `epoch`: recorded, or used by a source that shares it.
    async fn has_new_login(&self, epoch: u64) -> bool {
        self.upstream.epoch() != epoch || self.upstream.is_superseded().await
    }

    /// Whether the operator has skipped an unreadable event since then.
    async fn has_new_skip(&self) -> bool {
        let Some(known) = self.skips else { return false };
        self.store.skips(self.name()).await.is_ok_and(|skips| skips.len() > known)
    }

    /// Logs the refusal and returns how long to wait. A drain may end here instead.
    pub(crate) async fn after_refusal(&mut self, refusal: &CallError) -> Result<Duration, Ending> {
        self.failures += 1;
        self.learn(refusal).await;
        let verdict = self.pace.after_refusal(refusal.into());
        self.metrics.failed(refusal.class.word());
        self.metrics.need_person(verdict.needs_operator);
        let hint = refusal.hint_for(self.name());
        let gist = refusal.gist();
        let trouble = if verdict.needs_operator { format!("{gist}; {hint}") } else { gist };
        let activity = if verdict.needs_operator {
            Activity::Refused { trouble }
        } else {
            Activity::Retrying { trouble }
        };
        let is_news = self.activity != activity;
        let (source, attempt, delay_ms) = (self.name(), self.failures, whole_millis(verdict.delay));
        if verdict.needs_operator && refusal.is_refusal() {
            error!(code = %log_code::SOURCE_REFUSED, source, attempt, delay_ms, error = %refusal, hint, "the portal refuses this source");
        } else if verdict.needs_operator {
            error!(code = %log_code::SOURCE_NOT_SERVED, source, attempt, delay_ms, error = %refusal, hint, "the source cannot be polled");
        } else if is_news || attempt.is_power_of_two() {
            // Log the first of its kind, then ever more rarely: `attempt` also counts the omitted ones.
            warn!(code = %log_code::POLL_FAILED, source, attempt, delay_ms, error = %refusal, "poll failed, will try again");
        }
        self.note_change(activity).await;
        // After the note, so that `status` shows the refusal as soon as the daemon is ready.
        self.liveness.tried(self.name());
        match self.until {
            Until::Drained if verdict.needs_operator => Err(Ending::Refused),
            Until::Drained if self.failures >= DRAIN_FAILURES_MAX => Err(Ending::CutShort),
            Until::Drained | Until::Stopped => Ok(verdict.delay),
        }
    }

    /// Handles the consequences of a refusal beyond the next pause.
    async fn learn(&mut self, refusal: &CallError) {
        match refusal.class {
            Class::Operator => self.preflight.doubt_owner(),
            Class::Unsubscribed => {
                self.preflight.lose_subscription();
                warn!(
                    code = %log_code::SUBSCRIPTION_LOST,
                    source = self.name(),
                    "the subscription was lost: events since then were not recorded; subscribing again"
                );
                if let Err(failure) = self.store.note_loss(self.name()).await {
                    debug!(source = self.name(), error = %failure, "cannot count the loss");
                }
            }
            _ => {}
        }
    }

    /// Notes that nothing prevents polling any more, before a sink has any of the events: an observer of the events
    /// also sees this.
    pub(crate) async fn note_recovery(&mut self) {
        if !matches!(self.activity, Activity::Polling { .. }) {
            self.note_answer(Duration::ZERO).await;
        }
    }

    /// Notes a poll that was answered; the next one follows after `pause`.
    pub(crate) async fn note_answer(&mut self, pause: Duration) {
        self.metrics.need_person(false);
        if self.failures > 0 {
            info!(source = self.name(), failures = self.failures, "the portal answers again");
        }
        // A pause that outlasts the interval must be noted, or its end would seem to be overdue.
        let is_due = self.noted_at.is_none_or(|at| {
            let elapsed = at.elapsed();
            elapsed >= NOTE_INTERVAL || elapsed + pause > NOTE_INTERVAL * 3 / 2
        });
        if is_due || !matches!(self.activity, Activity::Polling { .. }) {
            self.noted_at = Some(Instant::now());
            let due_ms = wall_clock::now_ms().saturating_add_unsigned(whole_millis(pause));
            self.activity = Activity::Polling { due_ms };
            self.note(true).await;
        }
        self.failures = 0;
    }

    /// Notes why the source does not poll, unless that is noted already.
    async fn note_change(&mut self, activity: Activity) {
        if self.activity != activity {
            self.activity = activity;
            self.note(false).await;
        }
    }

    /// Writes the last note of a run: up to when all events are stored. Without it, a queue that is read only in short
    /// runs would seem to have been left alone for long.
    pub(crate) async fn note_end(&self) {
        if self.coverage.covered_ms().is_some() {
            self.note(false).await;
        }
    }

    /// Writes a note for `status`. If the disk refuses it, the log still has the information.
    async fn note(&self, has_polled: bool) {
        let health = Health {
            has_polled,
            activity: self.activity.clone(),
            covered_ms: self.coverage.covered_ms(),
            skew_ms: self.clock.skew_ms(),
        };
        if let Err(failure) = self.store.note_source(self.name(), health).await {
            debug!(source = self.name(), error = %failure, "cannot note the source's health");
        }
    }
}
