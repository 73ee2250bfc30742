//! How long a source waits after each step. Pure but for the dice of the delays.

use std::time::Duration;

use crate::config::PollConfig;
use crate::portal::Class;
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
        // After an answer that was too large: back up at once, for a long backlog read in small parts
        // would not be through before the portal's 24 hours are over.
        self.limit = self.limit.saturating_mul(2).min(self.poll.limit);
        if has_more { self.poll.busy } else { self.poll.idle }
    }

    /// The pause after a refusal or no answer at all, by what it calls for; `wait` is how long the
    /// portal asked us to stay away.
    pub fn after_refusal(&mut self, class: Class, wait: Option<Duration>) -> Verdict {
        let asked = wait.unwrap_or_default();
        let (delay, needs_person) = match class {
            Class::Retry => (self.retry.next_delay().max(asked), false),
            Class::Rate => (self.rate.next_delay().max(asked), false),
            Class::OpWait => (operating_pause(wait), false),
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> Pace {
        Pace::new(PollConfig {
            idle: 5 * SECOND,
            idle_max: 30 * SECOND,
            busy: 2 * SECOND,
            limit: 1000,
            timeout: 30 * SECOND,
        })
    }

    #[test]
    fn an_answer_sets_the_configured_pace_and_forgets_all_trouble() {
        let mut pace = pace();
        for _ in 0..20 {
            pace.after_refusal(Class::Retry, None);
            pace.after_refusal(Class::Operator, None);
            pace.after_refusal(Class::RetryBounded, None);
        }
        assert_eq!(pace.after_poll(true), 2 * SECOND);
        assert_eq!(pace.after_poll(false), 5 * SECOND);
        assert!(pace.after_refusal(Class::Retry, None).delay <= SECOND);
        assert!(pace.after_refusal(Class::Operator, None).delay <= 66 * SECOND);
        assert!(!pace.after_refusal(Class::RetryBounded, None).needs_person);
    }

    #[test]
    fn no_class_is_ever_answered_at_once_or_after_more_than_its_cap() {
        for (class, cap, needs_person) in [
            (Class::Retry, 60 * SECOND, false),
            (Class::Rate, 30 * SECOND, false),
            (Class::OpWait, 60 * SECOND, false),
            (Class::Operator, 900 * SECOND, true),
            (Class::Refresh, 900 * SECOND, true),
            (Class::Bug, 900 * SECOND, true),
        ] {
            let mut pace = pace();
            for _ in 0..200 {
                let verdict = pace.after_refusal(class, None);
                assert!(verdict.delay >= SECOND / 10 && verdict.delay <= cap, "{class:?} {verdict:?}");
                assert_eq!(verdict.needs_person, needs_person, "{class:?}");
            }
        }
    }

    #[test]
    fn what_the_portal_asks_for_is_the_least_pause() {
        for class in [Class::Retry, Class::Rate, Class::RetryBounded, Class::Operator] {
            assert!(pace().after_refusal(class, Some(2000 * SECOND)).delay >= 2000 * SECOND, "{class:?}");
        }
    }

    #[test]
    fn operating_time_is_waited_out_to_its_reset() {
        let delay = |reset| pace().after_refusal(Class::OpWait, reset).delay;
        assert_eq!(delay(Some(120 * SECOND)), 121 * SECOND);
        assert_eq!(delay(Some(3600 * SECOND)), OPERATING_MAX);
        assert_eq!(delay(Some(Duration::ZERO)), OPERATING_UNKNOWN);
        assert_eq!(delay(None), OPERATING_UNKNOWN);
    }

    #[test]
    fn doubt_ends_after_five_tries() {
        let mut pace = pace();
        let verdicts: Vec<bool> =
            (0..7).map(|_| pace.after_refusal(Class::RetryBounded, None).needs_person).collect();
        assert_eq!(verdicts, [false, false, false, false, false, true, true]);
    }

    #[test]
    fn too_large_an_answer_is_halved_down_to_one_event_and_grows_again() {
        let mut pace = pace();
        for limit in [500, 250, 125, 62, 31, 15, 7, 3, 1] {
            assert!(!pace.after_refusal(Class::TooLarge, None).needs_person);
            assert_eq!(pace.limit(), limit);
        }
        assert!(pace.after_refusal(Class::TooLarge, None).needs_person, "one event alone is too large");
        for limit in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000] {
            pace.after_poll(true);
            assert_eq!(pace.limit(), limit);
        }
    }
}
