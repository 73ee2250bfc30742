//! Settles the events that a sink does not take, and schedules the others.

use std::sync::Arc;

use tracing::warn;

use super::{Awaited, Lane};
use crate::event::{Entry, Event};
use crate::log_code;
use crate::relay::lane::committer::End;
use crate::relay::lane::filter::{FilterDecision, FilterReason};
use crate::store::GAP_KIND;

impl Lane {
    /// Settles the events that need no attempt, and schedules the rest.
    pub(super) fn sort(&mut self, entries: Vec<Arc<Entry>>) {
        for entry in entries {
            if !self.schedule.is_open() {
                // It comes behind an event that waits for all before it, and is read again after that.
                self.reader.go_back_to(entry.seq);
                return;
            }
            if self.checkpoint().covers(entry.seq) || self.schedule.holds(entry.seq) {
                continue;
            }
            let event = &entry.event;
            if self.inherited.as_ref().is_some_and(|inherited| inherited.has_settled(event)) {
                self.committer.settle(entry.seq, End::Known);
                continue;
            }
            let decision = self.decision(event);
            let is_everything = self.left_out.is_everything(decision);
            match decision {
                FilterDecision::Filtered(reason) => {
                    if is_everything {
                        self.warn_of_filter(reason);
                    }
                    self.metrics.filtered(reason.word());
                    self.committer.settle(entry.seq, End::Filtered);
                }
                FilterDecision::Expired if !self.schedule.waits_behind_failure(&entry) => {
                    self.committer.settle(entry.seq, End::Expired);
                }
                FilterDecision::Doubtful => {
                    self.awaits = Some(Awaited::Age);
                    self.reader.go_back_to(entry.seq);
                    return;
                }
                FilterDecision::Wanted | FilterDecision::Expired => self.schedule.push(entry),
            }
        }
    }

    fn decision(&self, event: &Event) -> FilterDecision {
        // Whatever a sink takes, it must learn which events it may have missed.
        if event.kind == GAP_KIND {
            return FilterDecision::Wanted;
        }
        let verdict = self.filter.judge(event);
        if let Some(failure) = verdict.failure {
            self.note_failure(event, &failure);
        }
        match verdict.reason {
            Some(reason) => FilterDecision::Filtered(reason),
            None => self.age.decision(event, self.committer.start_ms(), &self.clock),
        }
    }

    /// Counts an event that passes because `filter` could not be evaluated. The log tells the first one.
    fn note_failure(&self, event: &Event, failure: &str) {
        if self.metrics.filter_failed() > 1 {
            return;
        }
        let (source, sink, event_id, kind) = (&self.source, &self.config.name, event.id.get(), &event.kind);
        warn!(
            code = %log_code::FILTER_FAILED,
            source, sink, event_id, r#type = kind, error = failure,
            "`filter` could not be evaluated: such events pass it, and the next ones are only counted"
        );
    }

    fn warn_of_filter(&self, reason: FilterReason) {
        let (source, sink, key) = (&self.source, &self.config.name, reason.word());
        warn!(
            code = %log_code::EVERYTHING_FILTERED,
            source, sink, key, "the sink's filter has left out the first 100 events: is it right?"
        );
    }
}
