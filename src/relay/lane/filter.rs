//! Decides what a lane does with an event before any attempt. Pure.

use std::time::Duration;

use crate::config::{SinkConfig, StartConfig};
use crate::event::Event;
use crate::relay::clock::PortalClock;

/// The decision about one event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FilterDecision {
    /// The sink is to receive it.
    Wanted,
    /// The sink's filter excludes it, or it is older than the sink's start.
    Filtered,
    /// It is older than the sink's `max_event_age`.
    Expired,
    /// It is too old, unless this machine's clock was set since an earlier run. The portal's next answer will tell.
    Doubtful,
}

/// The event filter of a sink.
pub(crate) struct EventFilter {
    events: Option<Vec<String>>,
    age_max: Option<Duration>,
    starts_now: bool,
}

impl EventFilter {
    /// The filter of the sink of `config`.
    pub(crate) fn new(config: &SinkConfig) -> Self {
        Self {
            events: config.events.clone(),
            age_max: config.max_event_age,
            starts_now: config.start == StartConfig::Now,
        }
    }

    /// Whether the filter needs the portal's time.
    pub(crate) fn needs_time(&self) -> bool {
        self.starts_now || self.age_max.is_some()
    }

    /// Whether a new lane takes only events from its start on.
    pub(crate) fn starts_now(&self) -> bool {
        self.starts_now
    }

    /// Decides about `event` in a lane that began at `start_ms`, if the lane has a start.
    pub(crate) fn decision(
        &self,
        event: &Event,
        start_ms: Option<i64>,
        clock: &PortalClock,
    ) -> FilterDecision {
        let kinds = self.events.as_ref();
        if kinds.is_some_and(|kinds| !kinds.iter().any(|kind| kind.eq_ignore_ascii_case(&event.kind))) {
            return FilterDecision::Filtered;
        }
        if start_ms.is_none() && self.age_max.is_none() {
            return FilterDecision::Wanted;
        }
        // An event whose date cannot be read never expires.
        let Some(date_ms) = event.date_ms() else { return FilterDecision::Wanted };
        // Dates are whole seconds: in doubt the event is from after the start.
        if start_ms.is_some_and(|start_ms| date_ms < start_ms.div_euclid(1000) * 1000) {
            return FilterDecision::Filtered;
        }
        let age_max = self.age_max.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        match age_max {
            // Either clock may be wrong, so an event expires only when both say that it is too old.
            Some(age_max) if clock.earliest_ms().saturating_sub(date_ms) <= age_max => FilterDecision::Wanted,
            Some(_) if clock.is_told() => FilterDecision::Expired,
            Some(_) if clock.is_known() && !clock.is_heard() => FilterDecision::Doubtful,
            _ => FilterDecision::Wanted,
        }
    }
}

/// How many events in a row, from the first one on, must be excluded before `events` is taken for a mistake.
const LEFT_OUT_MAX: u32 = 100;

/// Detects that a lane's `events` has excluded every event of this run.
pub(crate) struct LeftOut {
    /// How many so far; `None` once this is decided.
    count: Option<u32>,
}

impl LeftOut {
    /// The detector for a lane to the sink of `config`.
    pub(crate) fn of(config: &SinkConfig) -> Self {
        Self { count: config.events.as_ref().map(|_| 0) }
    }

    /// Whether this event completes the first [`LEFT_OUT_MAX`] excluded ones. Returns `true` once.
    pub(crate) fn is_everything(&mut self, decision: FilterDecision) -> bool {
        self.count = self.count.filter(|_| decision == FilterDecision::Filtered).map(|count| count + 1);
        let is_everything = self.count == Some(LEFT_OUT_MAX);
        self.count = self.count.filter(|_| !is_everything);
        is_everything
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_leaves_out_everything_is_noticed_once_and_one_that_takes_something_never() {
        let mut all = LeftOut { count: Some(0) };
        let noticed: Vec<usize> = (1..=300).filter(|_| all.is_everything(FilterDecision::Filtered)).collect();
        assert_eq!(noticed, [100]);
        let mut some = LeftOut { count: Some(0) };
        assert!((0..300).all(|number| !some.is_everything(if number == 99 {
            FilterDecision::Wanted
        } else {
            FilterDecision::Filtered
        })));
        assert!((0..300).all(|_| !LeftOut { count: None }.is_everything(FilterDecision::Filtered)));
    }
}
