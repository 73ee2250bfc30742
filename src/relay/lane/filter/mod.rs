//! Decides what a lane does with an event before any attempt. Pure.

mod content; // chat, author and addressee of an event

use std::time::Duration;

use crate::config::{FilterConfig, Origin, SinkConfig, StartConfig};
use crate::event::Event;
use crate::relay::clock::PortalClock;
use content::{Author, Content};

/// The decision about one event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FilterDecision {
    /// The sink is to receive it.
    Wanted,
    /// The sink's configuration excludes it.
    Filtered(FilterReason),
    /// It is older than the sink's `max_event_age`.
    Expired,
    /// It is too old, unless this machine's clock was set since an earlier run. The portal's next answer will tell.
    Doubtful,
}

/// Why a sink does not take an event: the key that excludes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterReason {
    /// `events`.
    Events,
    /// `start = "now"`: it is older than the lane.
    Start,
    /// `chats`.
    Chats,
    /// `authors`.
    Authors,
    /// `own = false`.
    Own,
    /// `bots = false`.
    Bots,
    /// `system = false`.
    System,
    /// `mentions = true`.
    Mentions,
    /// `filter`.
    Expression,
}

impl FilterReason {
    /// The key, which is the word for it in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Start => "start",
            Self::Chats => "chats",
            Self::Authors => "authors",
            Self::Own => "own",
            Self::Bots => "bots",
            Self::System => "system",
            Self::Mentions => "mentions",
            Self::Expression => "filter",
        }
    }
}

/// What the content of an event means for a sink.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentVerdict {
    /// Why the sink does not take it, or `None` if it does.
    pub reason: Option<FilterReason>,
    /// Why `filter` could not be evaluated, without content of the event. Then the event passes.
    pub failure: Option<String>,
}

impl ContentVerdict {
    fn of(reason: Option<FilterReason>) -> Self {
        Self { reason, failure: None }
    }
}

/// The part of a sink's filter that asks for no time: `events`, and what an event contains.
pub struct ContentFilter {
    events: Option<Vec<String>>,
    config: FilterConfig,
    takes_all: bool,
}

impl ContentFilter {
    /// The filter of the sink of `config`.
    pub fn new(config: &SinkConfig) -> Self {
        let (events, filter) = (config.events.clone(), config.filter.clone());
        Self { events, takes_all: filter.takes_all(), config: filter }
    }

    /// Judges `event`. What the portal did not send excludes nothing.
    pub fn judge(&self, event: &Event) -> ContentVerdict {
        let kinds = self.events.as_ref();
        if kinds.is_some_and(|kinds| !kinds.iter().any(|kind| kind.eq_ignore_ascii_case(&event.kind))) {
            return ContentVerdict::of(Some(FilterReason::Events));
        }
        if self.takes_all {
            return ContentVerdict::of(None);
        }
        let reason = self.excluded_by(event);
        match &self.config.expression {
            Some(expression) if reason.is_none() => match expression.holds(event) {
                Ok(holds) => ContentVerdict::of((!holds).then_some(FilterReason::Expression)),
                Err(mistake) => ContentVerdict { reason: None, failure: Some(mistake.to_string()) },
            },
            _ => ContentVerdict::of(reason),
        }
    }

    /// The key other than `filter` that excludes `event`.
    fn excluded_by(&self, event: &Event) -> Option<FilterReason> {
        let FilterConfig { chats, authors, excluded, only_mentions, expression: _ } = &self.config;
        if chats.takes_all() && authors.takes_all() && excluded.is_empty() && !only_mentions {
            return None;
        }
        let content = Content::of(event);
        let author = match content.author {
            Author::User(id) => Some(Some(id)),
            Author::System => Some(None),
            Author::Unknown => None,
        };
        let excludes = |origin| match origin {
            Origin::Own => content.is_of(&event.queue),
            Origin::Bot => content.is_bot,
            Origin::System => content.author == Author::System,
        };
        let is_excluded = |origin| excluded.contains(&origin) && excludes(origin);
        [
            (content.chat.is_some_and(|chat| !chats.takes(Some(chat))), FilterReason::Chats),
            (author.is_some_and(|author| !authors.takes(author)), FilterReason::Authors),
            (is_excluded(Origin::Own), FilterReason::Own),
            (is_excluded(Origin::Bot), FilterReason::Bots),
            (is_excluded(Origin::System), FilterReason::System),
            (*only_mentions && content.addresses(&event.queue) == Some(false), FilterReason::Mentions),
        ]
        .into_iter()
        .find_map(|(is_excluded, reason)| is_excluded.then_some(reason))
    }
}

/// The part of a sink's filter that asks for the portal's time.
pub(crate) struct AgeFilter {
    age_max: Option<Duration>,
    starts_now: bool,
}

impl AgeFilter {
    /// The filter of the sink of `config`.
    pub(crate) fn new(config: &SinkConfig) -> Self {
        Self { age_max: config.max_event_age, starts_now: config.start == StartConfig::Now }
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
        if start_ms.is_none() && self.age_max.is_none() {
            return FilterDecision::Wanted;
        }
        // An event whose date cannot be read never expires.
        let Some(date_ms) = event.date_ms() else { return FilterDecision::Wanted };
        // Dates are whole seconds: in doubt the event is from after the start.
        if start_ms.is_some_and(|start_ms| date_ms < start_ms.div_euclid(1000) * 1000) {
            return FilterDecision::Filtered(FilterReason::Start);
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

/// How many events in a row, from the first one on, must be excluded before the filter is taken for a mistake.
const LEFT_OUT_MAX: u32 = 100;

/// Detects that a lane's filter has excluded every event of this run.
pub(crate) struct LeftOut {
    /// How many so far; `None` once this is decided.
    count: Option<u32>,
}

impl LeftOut {
    /// The detector for a lane to the sink of `config`.
    pub(crate) fn of(config: &SinkConfig) -> Self {
        let is_selective = config.events.is_some() || config.filter.is_selective();
        Self { count: is_selective.then_some(0) }
    }

    /// Whether this event completes the first [`LEFT_OUT_MAX`] excluded ones. Returns `true` once.
    pub(crate) fn is_everything(&mut self, decision: FilterDecision) -> bool {
        let is_filtered = matches!(decision, FilterDecision::Filtered(_));
        self.count = self.count.filter(|_| is_filtered).map(|count| count + 1);
        let is_everything = self.count == Some(LEFT_OUT_MAX);
        self.count = self.count.filter(|_| !is_everything);
        is_everything
    }
}

#[cfg(test)]
mod tests;
