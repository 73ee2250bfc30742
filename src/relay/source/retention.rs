//! Retention: the portal deletes events after a day whether they were read or not (PORTAL.md 2.5). A warning is logged
//! before that happens, and possible losses are recorded afterwards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use b24_client::EVENT_LIFETIME;
use tracing::{error, warn};

use crate::config::RetentionConfig;
use crate::log_code;
use crate::relay::clock::PortalClock;
use crate::retry::whole_millis;
use crate::store::Gap;

/// How often the age of the oldest unconfirmed event is checked.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);

/// Up to when all events of a source are stored.
#[derive(Clone)]
pub(crate) struct Coverage {
    source: Arc<str>,
    limits: RetentionConfig,
    clock: PortalClock,
    /// All events before this time are settled or in the journal, in Unix milliseconds by the portal's clock.
    covered_ms: Arc<Mutex<Option<i64>>>,
}

/// The urgency of the warning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    None,
    Warning,
    Error,
}

impl Coverage {
    /// Creates the coverage of a source that has all events before `covered_ms`, if that is known.
    pub(crate) fn new(
        source: &Arc<str>,
        limits: RetentionConfig,
        clock: PortalClock,
        covered_ms: Option<i64>,
    ) -> Self {
        Self { source: Arc::clone(source), limits, clock, covered_ms: Arc::new(Mutex::new(covered_ms)) }
    }

    /// The portal's clock.
    pub(crate) fn clock(&self) -> &PortalClock {
        &self.clock
    }

    /// Up to when all events are stored, if that is known.
    pub(crate) fn covered_ms(&self) -> Option<i64> {
        *self.covered_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that all events before `ms` are stored.
    pub(crate) fn extend(&self, ms: i64) {
        let mut covered_ms = self.covered_ms.lock().unwrap_or_else(PoisonError::into_inner);
        *covered_ms = Some(covered_ms.map_or(ms, |covered_ms| covered_ms.max(ms)));
    }

    /// The time range whose events may be lost, when the portal answers at `portal_ms`.
    pub(crate) fn gap(&self, portal_ms: i64) -> Option<(i64, i64)> {
        let from = self.covered_ms()?;
        let to = portal_ms.saturating_sub(millis(EVENT_LIFETIME));
        (from < to).then_some((from, to))
    }

    /// Warns the operator in time, and again whenever it gets worse. Never returns.
    pub(crate) async fn watch(&self) {
        let mut told = Urgency::None;
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let urgency = self.urgency();
            if urgency > told {
                self.tell(urgency);
            }
            told = urgency;
        }
    }

    fn age(&self) -> Duration {
        let age_ms = self.covered_ms().map_or(0, |ms| self.clock.now_ms().saturating_sub(ms));
        Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
    }

    fn urgency(&self) -> Urgency {
        match self.age() {
            age if age >= self.limits.error => Urgency::Error,
            age if age >= self.limits.warning => Urgency::Warning,
            _ => Urgency::None,
        }
    }

    fn tell(&self, urgency: Urgency) {
        let (source, age) = (&self.source, self.age());
        let left_s = EVENT_LIFETIME.saturating_sub(age).as_secs();
        let age_s = age.as_secs();
        match urgency {
            Urgency::None => {}
            Urgency::Warning => {
                warn!(code = %log_code::RETENTION_WARNING, %source, age_s, left_s, "events have waited for long: the portal deletes them after 24 hours; `b24relay status` shows why they wait");
            }
            Urgency::Error => {
                error!(code = %log_code::RETENTION_ERROR, %source, age_s, left_s, "the portal will soon delete events that no sink has: fix the problem that `b24relay status` shows, or set `delivery.hold` to a duration");
            }
        }
    }
}

/// Logs that events may be lost.
pub(crate) fn report_gap(source: &str, gap: &Gap) {
    let ([from, to], hours) = (gap.spelled(), gap.to_ms.saturating_sub(gap.from_ms) / 3_600_000);
    error!(
        code = %log_code::GAP,
        source,
        from, to, hours, "nothing was read for more than 24 hours: events of this time may be lost"
    );
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(whole_millis(duration)).unwrap_or(i64::MAX)
}
