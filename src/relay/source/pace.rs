//! Decides how long a source waits after each step. Pure, except for the random delays.
//!
//! After events it polls again at once, then ever more rarely up to `poll.idle`: a conversation is followed closely
//! within the portal's budget. After a long silence the pause grows further.

use std::time::Duration;

use b24_client::{CallError, Class};
use b24_client::{OPERATING_UNKNOWN, PAGE_MAX};

use crate::config::PollConfig;
use crate::relay::source::page_limit::PageLimit;
use crate::retry::Backoff;

/// The pause after a poll that returned all events. The budget of a cloud portal makes it longer, and a self-hosted
/// server must not be flooded either.
const AFTER_EVENTS: Duration = Duration::from_millis(200);

/// The pause after the first poll without events. Each further one doubles it, up to `poll.idle`.
const FIRST_IDLE: Duration = Duration::from_millis(500);

/// After this time without an event the pause grows beyond `poll.idle`, by a tenth with each poll.
const LONG_SILENCE: Duration = Duration::from_secs(600);

/// How often a doubtful refusal is retried before the operator must act.
const BOUNDED_MAX: u32 = 5;

/// The longest pause after `OPERATION_TIME_LIMIT`: the portal's whole window.
const OPERATING_MAX: Duration = Duration::from_secs(600);

/// The result of a poll.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Polled {
    /// How many events it returned.
    pub count: usize,
    /// The portal says that more events are waiting.
    pub has_more: bool,
    /// The portal's operating time for polls is nearly used up.
    pub is_strained: bool,
}

/// The parts of a refusal that decide the pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    /// The kind of reaction that it requires.
    pub class: Class,
    /// How long the portal asked us to wait, if it did.
    pub wait: Option<Duration>,
    /// The delay of the first slow probe.
    pub probe: Duration,
    /// Whether smaller answers may help.
    pub may_be_size: bool,
}

impl From<&CallError> for Refusal {
    fn from(error: &CallError) -> Self {
        let CallError { class, wait, probe, may_be_size, .. } = *error;
        Self { class, wait, probe, may_be_size }
    }
}

/// The reaction to a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// How long to wait before the next call.
    pub delay: Duration,
    /// Whether waiting does not help, so that the operator must act.
    pub needs_operator: bool,
}

/// The pauses of one source.
pub(crate) struct Pace {
    poll: PollConfig,
    limit: PageLimit,
    /// The pause after the next poll without events.
    idle: Duration,
    silence: Duration,
    retry: Backoff,
    rate: Backoff,
    probe: Backoff,
    probe_min: Duration,
    doubtful: u32,
}

impl Pace {
    pub(crate) fn new(poll: PollConfig) -> Self {
        let seconds = Duration::from_secs;
        Self {
            poll,
            limit: PageLimit::new(poll.limit),
            idle: FIRST_IDLE.min(poll.idle),
            silence: Duration::ZERO,
            retry: Backoff::jittered(seconds(1), seconds(60)),
            rate: Backoff::jittered(seconds(2), seconds(30)),
            probe: probe(seconds(60)),
            probe_min: seconds(60),
            doubtful: 0,
        }
    }

    /// How many events the next poll may ask for, if the first `again` of them were read before.
    pub(crate) fn limit(&self, again: usize) -> u16 {
        if self.limit.is_reduced() {
            return self.limit.get();
        }
        let again = u16::try_from(again).unwrap_or(PAGE_MAX);
        self.limit.get().saturating_add(again).min(PAGE_MAX)
    }

    /// The pause after a poll that was answered.
    pub(crate) fn after_poll(&mut self, polled: Polled) -> Duration {
        self.retry.reset();
        self.rate.reset();
        self.probe.reset();
        self.doubtful = 0;
        self.limit.arrived(polled.has_more);
        let pause = if polled.has_more {
            self.poll.busy
        } else if polled.count > 0 {
            self.idle = FIRST_IDLE.min(self.poll.idle);
            self.silence = Duration::ZERO;
            AFTER_EVENTS.min(self.poll.idle)
        } else {
            self.idle_pause()
        };
        if polled.is_strained { pause.max(self.poll.idle_max) } else { pause }
    }

    fn idle_pause(&mut self) -> Duration {
        let pause = self.idle;
        self.silence = self.silence.saturating_add(pause);
        self.idle = if self.silence >= LONG_SILENCE {
            (pause + pause / 10).min(self.poll.idle_max)
        } else {
            (pause * 2).min(self.poll.idle)
        };
        pause
    }

    /// The reaction to a refusal or to a missing answer.
    pub(crate) fn after_refusal(&mut self, refusal: Refusal) -> Verdict {
        let asked = refusal.wait.unwrap_or_default();
        if refusal.may_be_size && matches!(refusal.class, Class::Retry | Class::RetryBounded) {
            self.limit.failed();
        }
        let (delay, needs_operator) = match refusal.class {
            Class::Retry => (self.retry.next_delay().max(asked), false),
            Class::Rate => (self.rate.next_delay().max(asked), false),
            Class::OpWait => (operating_pause(refusal.wait), false),
            Class::RetryBounded if self.is_first_of(BOUNDED_MAX) => {
                (self.retry.next_delay().max(asked), false)
            }
            Class::Unsubscribed if self.is_first_of(1) => (self.retry.next_delay(), false),
            Class::TooLarge if self.limit.get() > 1 => {
                self.limit.halve();
                (self.retry.next_delay(), false)
            }
            // Neither a token that was refreshed in vain nor a wrong request will ever work: the operator must act.
            Class::Operator
            | Class::Refresh
            | Class::Bug
            | Class::RetryBounded
            | Class::Unsubscribed
            | Class::TooLarge => (self.next_probe(refusal.probe).max(asked), true),
        };
        Verdict { delay, needs_operator }
    }

    /// The delay of the next slow probe; the first one comes after `min`.
    fn next_probe(&mut self, min: Duration) -> Duration {
        if self.probe_min != min {
            (self.probe, self.probe_min) = (probe(min), min);
        }
        self.probe.next_delay()
    }

    fn is_first_of(&mut self, max: u32) -> bool {
        self.doubtful = self.doubtful.saturating_add(1);
        self.doubtful <= max
    }
}

/// Slow probes: the first after `min`, then ever more rarely. The longest delay is a quarter of an hour. If `min` is
/// that long already, it is four times `min`, but at most an hour. If `min` is below a minute, no portal has answered,
/// and five minutes are rare enough.
fn probe(min: Duration) -> Backoff {
    const QUARTER: Duration = Duration::from_secs(900);
    const MINUTE: Duration = Duration::from_secs(60);
    let max = if min < MINUTE {
        5 * MINUTE
    } else if min < QUARTER {
        QUARTER
    } else {
        (min * 4).min(Duration::from_secs(3600))
    };
    Backoff::steady(min, max)
}

/// The time until the reset and one second more, or a minute when the reset is unknown or already past.
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

    fn of(class: Class) -> Refusal {
        Refusal { class, wait: None, probe: 60 * SECOND, may_be_size: false }
    }

    fn events(count: usize) -> Polled {
        Polled { count, ..Polled::default() }
    }

    const MORE: Polled = Polled { count: 1000, has_more: true, is_strained: false };

    #[test]
    fn an_answer_sets_the_configured_pace_and_forgets_all_trouble() {
        let mut pace = pace();
        for _ in 0..20 {
            pace.after_refusal(of(Class::Retry));
            pace.after_refusal(of(Class::Operator));
            pace.after_refusal(of(Class::RetryBounded));
        }
        assert_eq!(pace.after_poll(MORE), 2 * SECOND);
        assert_eq!(pace.after_poll(events(0)), SECOND / 2);
        assert!(pace.after_refusal(of(Class::Retry)).delay <= SECOND);
        assert!(pace.after_refusal(of(Class::Operator)).delay <= 66 * SECOND);
        assert!(!pace.after_refusal(of(Class::RetryBounded)).needs_operator);
    }

    #[test]
    fn a_conversation_is_followed_closely_and_silence_ever_more_rarely() {
        let mut pace = pace();
        assert_eq!(pace.after_poll(events(3)), SECOND / 5);
        let pauses: Vec<u128> = (0..6).map(|_| pace.after_poll(events(0)).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 5000, 5000]);
        for _ in 0..115 {
            assert!(pace.after_poll(events(0)) <= 5 * SECOND, "ten minutes of silence are nothing special");
        }
        let mut pause = Duration::ZERO;
        for _ in 0..40 {
            let next = pace.after_poll(events(0));
            assert!(next >= pause && next <= pause.max(5 * SECOND) * 11 / 10, "{pause:?} then {next:?}");
            pause = next;
        }
        assert_eq!(pause, 30 * SECOND);
        assert_eq!(pace.after_poll(events(1)), SECOND / 5, "the first event brings it back");
    }

    #[test]
    fn a_strained_portal_is_polled_rarely_whatever_is_waiting() {
        for polled in [MORE, events(1), events(0)] {
            assert_eq!(pace().after_poll(Polled { is_strained: true, ..polled }), 30 * SECOND);
        }
    }

    #[test]
    fn no_class_is_ever_answered_at_once_or_after_more_than_its_cap() {
        for (class, cap, needs_operator) in [
            (Class::Retry, 60 * SECOND, false),
            (Class::Rate, 30 * SECOND, false),
            (Class::OpWait, 60 * SECOND, false),
            (Class::Operator, 900 * SECOND, true),
            (Class::Refresh, 900 * SECOND, true),
            (Class::Bug, 900 * SECOND, true),
        ] {
            let mut pace = pace();
            for _ in 0..200 {
                let verdict = pace.after_refusal(of(class));
                assert!(verdict.delay >= SECOND / 10 && verdict.delay <= cap, "{class:?} {verdict:?}");
                assert_eq!(verdict.needs_operator, needs_operator, "{class:?}");
            }
        }
    }

    #[test]
    fn probes_begin_when_the_refusal_says_and_stay_slow() {
        for (first, last) in [(5, 300), (60, 900), (300, 900), (900, 3600), (3600, 3600)] {
            let mut pace = pace();
            let refusal = Refusal { probe: first * SECOND, ..of(Class::Operator) };
            let delays: Vec<f64> = (0..8).map(|_| pace.after_refusal(refusal).delay.as_secs_f64()).collect();
            let near = |delay: f64, expected: u32| (delay / f64::from(expected) - 1.0).abs() < 0.11;
            assert!(near(delays[0], first) && near(delays[7], last), "{first}: {delays:?}");
        }
    }

    #[test]
    fn what_the_portal_asks_for_is_the_least_pause() {
        for class in [Class::Retry, Class::Rate, Class::RetryBounded, Class::Operator] {
            let refusal = Refusal { wait: Some(2000 * SECOND), ..of(class) };
            assert!(pace().after_refusal(refusal).delay >= 2000 * SECOND, "{class:?}");
        }
    }

    #[test]
    fn operating_time_is_waited_out_to_its_reset() {
        let delay = |wait| pace().after_refusal(Refusal { wait, ..of(Class::OpWait) }).delay;
        assert_eq!(delay(Some(120 * SECOND)), 121 * SECOND);
        assert_eq!(delay(Some(3600 * SECOND)), OPERATING_MAX);
        assert_eq!(delay(Some(Duration::ZERO)), OPERATING_UNKNOWN);
        assert_eq!(delay(None), OPERATING_UNKNOWN);
    }

    #[test]
    fn doubt_ends_after_five_tries_and_a_lost_subscription_is_healed_once() {
        let verdicts = |class| {
            let mut pace = pace();
            (0..7).map(|_| pace.after_refusal(of(class)).needs_operator).collect::<Vec<bool>>()
        };
        assert_eq!(verdicts(Class::RetryBounded), [false, false, false, false, false, true, true]);
        assert_eq!(verdicts(Class::Unsubscribed), [false, true, true, true, true, true, true]);
    }

    #[test]
    fn one_event_alone_that_is_too_large_needs_a_person() {
        let mut pace = pace();
        while pace.limit(0) > 1 {
            assert!(!pace.after_refusal(of(Class::TooLarge)).needs_operator);
        }
        assert!(pace.after_refusal(of(Class::TooLarge)).needs_operator);
    }

    #[test]
    fn answers_that_do_not_arrive_make_the_page_smaller_and_a_portal_out_of_reach_does_not() {
        for (class, may_be_size, limit) in [
            (Class::Retry, true, 250),
            (Class::RetryBounded, true, 250),
            (Class::Retry, false, 1000),
            (Class::Rate, true, 1000),
            (Class::Operator, true, 1000),
        ] {
            let mut pace = pace();
            for _ in 0..4 {
                pace.after_refusal(Refusal { may_be_size, ..of(class) });
            }
            assert_eq!(pace.limit(0), limit, "{class:?} {may_be_size}");
        }
    }
}
