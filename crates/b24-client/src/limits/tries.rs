//! How often a command calls the portal again after a temporary refusal.

use std::time::Duration;

use tokio::time::sleep;
use tracing::info;

use crate::class::Class;
use crate::refusal::CallError;

/// Only a few, because the user waits for the response.
pub(crate) const TRIES_MAX: u32 = 3;

/// The pauses between them. The portal's bucket drains two requests per second.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// If the portal asks for a longer wait, the command reports this and ends.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The remaining tries of a command for one call.
pub struct Tries {
    left: u32,
    /// The next pause is drawn below this.
    step: Duration,
}

impl Default for Tries {
    /// The maximum number of tries.
    fn default() -> Self {
        Self::of(TRIES_MAX)
    }
}

impl Tries {
    /// At most `max` tries, 1 or more.
    pub fn of(max: u32) -> Self {
        Self { left: max.saturating_sub(1), step: PAUSE_MIN }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// `refusal` itself if no try is left, or another one would not help.
    pub async fn pause_after(&mut self, refusal: CallError) -> Result<(), CallError> {
        let Some(pause) = self.pause(&refusal) else { return Err(refusal) };
        info!(error = %refusal, again_in = ?pause, "portal call failed, trying again");
        sleep(pause).await;
        Ok(())
    }

    /// The pause before the next try, if there is one.
    pub fn pause(&mut self, refusal: &CallError) -> Option<Duration> {
        let asked = asked_wait(refusal)?;
        self.left = self.left.checked_sub(1)?;
        // Full jitter: commands that failed together do not call again together.
        let drawn = self.step.mul_f64(fastrand::f64()).max(PAUSE_MIN / 10);
        self.step = (self.step * 2).min(PAUSE_MAX);
        Some(drawn.max(asked))
    }
}

/// The minimum wait that the portal asks for; `None` if waiting does not help or takes too long.
fn asked_wait(refusal: &CallError) -> Option<Duration> {
    let wait = match refusal.class {
        Class::Retry | Class::Rate => refusal.wait.unwrap_or_default(),
        // Without a value from the portal, the wait is minutes.
        Class::OpWait => refusal.wait?,
        Class::RetryBounded if is_internal(refusal.code()) => refusal.wait.unwrap_or_default(),
        _ => return None,
    };
    Some(wait).filter(|wait| *wait <= WAIT_MAX)
}

/// Whether a code without a fixed meaning stands for an internal error of the portal (PORTAL.md 6). A code
/// with its own name is the response of the method.
fn is_internal(code: Option<&str>) -> bool {
    let Some(code) = code else { return true };
    let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
    is_number || ["ERROR_CORE", "WRONG_ENCODING"].iter().any(|known| known.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{Hint, Verdict};

    fn refusal(class: Class, code: &str, wait: Option<Duration>) -> CallError {
        CallError::new("event.get", Verdict::new(class, Hint::NONE), "refused")
            .with_code(code.to_owned())
            .with_wait(wait)
    }

    fn pauses(refusal: &CallError) -> usize {
        let mut tries = Tries::default();
        std::iter::from_fn(|| tries.pause(refusal)).take(100).count()
    }

    #[test]
    fn what_passes_by_itself_is_tried_three_times() {
        for (class, code) in [
            (Class::Retry, "INTERNAL_SERVER_ERROR"),
            (Class::Rate, "QUERY_LIMIT_EXCEEDED"),
            (Class::RetryBounded, "ERROR_CORE"),
            (Class::RetryBounded, "0"),
            (Class::RetryBounded, ""),
        ] {
            assert_eq!(pauses(&refusal(class, code, None)), 2, "{code}");
        }
        let soon = Some(Duration::from_secs(3));
        assert_eq!(pauses(&refusal(Class::OpWait, "OPERATION_TIME_LIMIT", soon)), 2);
        assert!(
            Tries::default()
                .pause(&refusal(Class::Rate, "X", soon))
                .is_some_and(|pause| pause >= Duration::from_secs(3))
        );
    }

    #[test]
    fn what_stays_so_or_lasts_for_long_is_tried_once() {
        for class in [Class::Operator, Class::Bug, Class::Refresh, Class::Unsubscribed, Class::TooLarge] {
            assert_eq!(pauses(&refusal(class, "X", None)), 0, "{class:?}");
        }
        assert_eq!(pauses(&refusal(Class::RetryBounded, "APP_ID_ERROR", None)), 0);
        assert_eq!(pauses(&refusal(Class::OpWait, "OPERATION_TIME_LIMIT", None)), 0);
        assert_eq!(pauses(&refusal(Class::Retry, "X", Some(Duration::from_secs(600)))), 0);
    }
}
