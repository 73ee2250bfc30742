//! How long a source waits after each step. Pure but for the dice of the delays.

use std::time::Duration;

use crate::config::PollConfig;
use crate::portal::{CallError, Class};
use crate::retry::Backoff;

/// How often a doubtful refusal is tried again before a person is called.
const BOUNDED_MAX: u32 = 5;

/// The pause after `OPERATION_TIME_LIMIT` when the portal has not said how long (PORTAL.md section 7).
const OPERATING_UNKNOWN: Duration = Duration::from_secs(60);

/// The longest pause after `OPERATION_TIME_LIMIT`: the portal's whole window.
const OPERATING_MAX: Duration = Duration::from_secs(600);

/// What a refusal means for this source, now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// How long to wait before the next call.
    pub delay: Duration,
    /// Whether it will not heal by waiting.
    pub needs_person: bool,
}

/// The pauses of one source.
pub struct Pace {
    poll: PollConfig,
    limit: u16,
    retry: Backoff,
    rate: Backoff,
    probe: Backoff,
    doubtful: u32,
}

impl Pace {
    pub fn new(poll: PollConfig) -> Self {
        let seconds = Duration::from_secs;
        Self {
            poll,
            limit: poll.limit,
            retry: Backoff::jittered(seconds(1), seconds(60)),
            rate: Backoff::jittered(seconds(2), seconds(30)),
            probe: Backoff::steady(seconds(60), seconds(900)),
            doubtful: 0,
        }
    }

    /// How many events the next poll may ask for.
    pub fn limit(&self) -> u16 {
        self.limit
    }

    /// The pause after a poll that was answered.
    pub fn after_poll(&mut self, has_more: bool) -> Duration {
        self.retry.reset();
        self.rate.reset();
        self.probe.reset();
        self.doubtful = 0;
        if has_more {
            return self.poll.busy;
        }
        // Whatever made an answer too large is behind us.
        self.limit = self.poll.limit;
        self.poll.idle
    }

    /// The pause after a refusal, or after no answer at all.
    pub fn after_refusal(&mut self, refusal: &CallError) -> Verdict {
        let asked = refusal.wait.unwrap_or_default();
        let (delay, needs_person) = match refusal.class {
            Class::Retry => (self.retry.next_delay().max(asked), false),
            Class::Rate => (self.rate.next_delay().max(asked), false),
            Class::OpWait => (operating_pause(refusal.wait), false),
            Class::RetryBounded if self.is_first_of(BOUNDED_MAX) => {
                (self.retry.next_delay().max(asked), false)
            }
            Class::TooLarge if self.limit > 1 => {
                self.limit /= 2;
                (self.retry.next_delay(), false)
            }
            // A webhook has nothing to refresh, and a wrong request stays wrong: both need a person.
            Class::Operator | Class::Refresh | Class::Bug | Class::RetryBounded | Class::TooLarge => {
                (self.probe.next_delay().max(asked), true)
            }
        };
        Verdict { delay, needs_person }
    }

    fn is_first_of(&mut self, max: u32) -> bool {
        self.doubtful = self.doubtful.saturating_add(1);
        self.doubtful <= max
    }
}

/// Until the reset and a second more, or a minute when it is unknown or already past.
fn operating_pause(reset: Option<Duration>) -> Duration {
    match reset {
        Some(reset) if !reset.is_zero() => (reset + Duration::from_secs(1)).min(OPERATING_MAX),
        _ => OPERATING_UNKNOWN,
    }
}
