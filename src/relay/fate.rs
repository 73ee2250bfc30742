//! What becomes of an event in a lane before anybody is troubled with it. Pure.

use std::time::Duration;

use super::clock::PortalClock;
use crate::config::{SinkConfig, StartConfig};
use crate::event::Event;

/// See the top of this file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The sink is to have it.
    Wanted,
    /// The sink's filter leaves it out, or it is of before the sink's start.
    Filtered,
    /// It is older than the sink wants events to be.
    Expired,
}

/// What a sink takes.
pub struct Appetite {
    events: Option<Vec<String>>,
    age_max: Option<Duration>,
    starts_now: bool,
}

impl Appetite {
    /// That of the sink of `config`.
    pub fn new(config: &SinkConfig) -> Self {
        Self {
            events: config.events.clone(),
            age_max: config.max_event_age,
            starts_now: config.start == StartConfig::Now,
        }
    }

    /// Whether a lane that begins takes only what happens from then on.
    pub fn starts_now(&self) -> bool {
        self.starts_now
    }

    /// What becomes of `event` in a lane that began at `start_ms`, if that matters.
    pub fn fate(&self, event: &Event, start_ms: Option<i64>, clock: &PortalClock) -> Fate {
        let kinds = self.events.as_ref();
        if kinds.is_some_and(|kinds| !kinds.iter().any(|kind| kind.eq_ignore_ascii_case(&event.kind))) {
            return Fate::Filtered;
        }
        if start_ms.is_none() && self.age_max.is_none() {
            return Fate::Wanted;
        }
        // One whose date cannot be read is never let go for its age.
        let Some(date_ms) = event.date_ms() else { return Fate::Wanted };
        // Dates are whole seconds: in doubt it is of after the start.
        if start_ms.is_some_and(|start_ms| date_ms < start_ms.div_euclid(1000) * 1000) {
            return Fate::Filtered;
        }
        let age_max = self.age_max.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        match age_max {
            // By this machine's own clock nothing is let go: it may be wrong.
            Some(age_max) if clock.is_told() && clock.now_ms().saturating_sub(date_ms) > age_max => {
                Fate::Expired
            }
            _ => Fate::Wanted,
        }
    }
}
