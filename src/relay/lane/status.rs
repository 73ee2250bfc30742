//! The state of one lane, for the log and for `status`.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::log_code;
use crate::retry::whole_millis;
use crate::sink::{DeliverError, cause};
use crate::store::{LaneActivity, LaneNote, Store};
use crate::wall_clock;

/// A state that ends sooner is not worth a write.
const NOTED_DELAY_MIN: Duration = Duration::from_secs(1);

/// How often a failing lane notes that it still tries, however short its delays are.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) struct LaneStatus {
    source: String,
    sink: String,
    store: Store,
    state: LaneActivity,
    /// Failed attempts since the last one that succeeded.
    failures: u32,
    trouble: String,
    noted_at: Option<Instant>,
}

impl LaneStatus {
    pub(crate) fn new(source: &str, sink: &str, store: &Store) -> Self {
        Self {
            source: source.to_owned(),
            sink: sink.to_owned(),
            store: store.clone(),
            state: LaneActivity::Flowing,
            failures: 0,
            trouble: String::new(),
            noted_at: None,
        }
    }

    /// Notes that an attempt failed and that the next one follows after `delay`. `tries` is how often its events were
    /// tried.
    pub(crate) async fn fail(&mut self, failure: &DeliverError, tries: u32, delay: Duration, offset: u64) {
        self.failures = self.failures.saturating_add(1);
        let (source, sink, attempt, delay_ms) =
            (&self.source, &self.sink, self.failures, whole_millis(delay));
        let trouble = failure.to_string();
        let needs_operator = matches!(failure, DeliverError::Held { .. });
        if needs_operator {
            error!(code = %log_code::SINK_HELD, source, sink, offset, attempt, delay_ms, error = %failure, "sink is held: nothing is lost, an operator must act");
        } else if (attempt.is_power_of_two() && tries.is_power_of_two())
            || cause(&self.trouble) != cause(&trouble)
        {
            // Log the first failure of its kind, then ever more rarely: `attempt` also counts the omitted ones.
            warn!(code = %log_code::ATTEMPT_FAILED, source, sink, offset, attempt, delay_ms, error = %failure, "attempt failed, will try again");
        }
        let state = if needs_operator { LaneActivity::Held } else { LaneActivity::Retrying };
        let is_news = (state, cause(&trouble)) != (self.state, cause(&self.trouble));
        self.trouble = trouble;
        let is_due = self.noted_at.is_none_or(|at| at.elapsed() >= NOTE_INTERVAL);
        if is_news || is_due || delay >= NOTED_DELAY_MIN {
            self.note(state, Some(wall_clock::now_ms().saturating_add_unsigned(delay_ms))).await;
        }
    }

    /// Notes that the sink as a whole fails, which another lane may have found out. The next attempt is made at
    /// `until`.
    pub(crate) async fn show(&mut self, needs_operator: bool, reason: &str, until: Instant) {
        let state = if needs_operator { LaneActivity::Held } else { LaneActivity::Retrying };
        if (state, cause(reason)) == (self.state, cause(&self.trouble)) {
            return;
        }
        reason.clone_into(&mut self.trouble);
        let delay_ms = whole_millis(until.saturating_duration_since(Instant::now()));
        self.note(state, Some(wall_clock::now_ms().saturating_add_unsigned(delay_ms))).await;
    }

    /// Notes that an attempt succeeded while no failed one waits for another attempt.
    pub(crate) async fn recover(&mut self) {
        if self.failures > 0 {
            let (source, sink, failures) = (&self.source, &self.sink, self.failures);
            info!(source, sink, failures, "sink takes events again");
        }
        if self.failures > 0 || self.state != LaneActivity::Flowing {
            self.forget().await;
        }
    }

    /// Notes that nothing prevents delivery any more.
    pub(crate) async fn forget(&mut self) {
        self.failures = 0;
        self.trouble.clear();
        self.note(LaneActivity::Flowing, None).await;
    }

    /// Notes that a stop was requested while attempts are in flight.
    pub(crate) async fn drain(&mut self) {
        self.note(LaneActivity::Draining, None).await;
    }

    /// Writes a note for `status`. If the disk refuses it, the log still has the information.
    async fn note(&mut self, state: LaneActivity, next_ms: Option<i64>) {
        self.state = state;
        self.noted_at = Some(Instant::now());
        let note = LaneNote { state, next_ms, trouble: self.trouble.clone() };
        if let Err(failure) = self.store.note_lane(&self.source, &self.sink, note).await {
            debug!(source = self.source, sink = self.sink, error = %failure, "cannot note the lane's state");
        }
    }
}
