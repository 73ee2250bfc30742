//! How many events a command would take away from sinks that have not got them. Asking for it changes nothing.

use std::collections::BTreeSet;

use super::consent::ConsentArgs;
use super::output::{print, remark};
use super::peek::{PAGE_MAX, Peek};
use crate::config::{Config, SourceConfig};
use crate::event::{Batch, Event, EventId, Offset};
use crate::portal::CallError;
use crate::relay::Callers;
use crate::shutdown::Signals;
use crate::store::{Store, StoreError, Undelivered};

/// The events that would go.
#[derive(Default)]
pub struct Loss {
    ids: BTreeSet<(String, EventId)>,
    /// There are more than can be looked at.
    is_more: bool,
    /// Why the portal's queue could not be looked at.
    unseen: Option<CallError>,
}

impl Loss {
    /// Of the journal's events of `source`, those below `end` that a sink which `is_concerned` has not got.
    pub fn of_journal(
        source: &str,
        known: &Undelivered,
        end: Option<Offset>,
        is_concerned: impl Fn(&str) -> bool,
    ) -> Self {
        let is_meant = |id: &EventId| end.is_none_or(|end| !end.wants(*id));
        let ids = known.lacking(is_concerned).filter(is_meant);
        Self { ids: ids.map(|id| (source.to_owned(), id)).collect(), ..Self::default() }
    }

    /// Adds what waits at the portal below `end` and `is_lost`.
    pub fn add_page(
        &mut self,
        page: Result<Batch, CallError>,
        end: Option<Offset>,
        is_lost: impl Fn(&Event) -> bool,
    ) {
        let page = match page {
            Ok(page) => page,
            Err(refusal) => {
                self.unseen = Some(refusal);
                return;
            }
        };
        let is_meant = |id: EventId| end.is_none_or(|end| !end.wants(id));
        let reaches_end = page.events.last().is_some_and(|event| !is_meant(event.id));
        let is_full = page.has_more || page.events.len() >= usize::from(PAGE_MAX);
        self.is_more |= is_full && !reaches_end;
        let lost = page.events.iter().filter(|event| is_meant(event.id) && is_lost(event));
        self.ids.extend(lost.map(|event| (event.queue.source.to_string(), event.id)));
    }

    /// Adds another source's.
    pub fn add(&mut self, other: Self) {
        self.ids.extend(other.ids);
        self.is_more |= other.is_more;
        self.unseen = self.unseen.take().or(other.unseen);
    }

    /// Whether it is certain that no event goes.
    pub fn is_none(&self) -> bool {
        self.ids.is_empty() && !self.is_more && self.unseen.is_none()
    }

    /// How many events go, in words.
    pub fn count(&self) -> String {
        let count = self.ids.len();
        let least = if self.is_more || self.unseen.is_some() { "at least " } else { "" };
        format!("{least}{count} event{}", if count == 1 { "" } else { "s" })
    }

    /// Says `what` goes, and asks whether to go on. Nothing is said and asked where nothing goes, but in a dry run.
    ///
    /// # Errors
    /// With a dry run, why the portal could not be asked: it cannot say how many events go. A usage error where
    /// nobody can be asked.
    pub async fn ask(
        self,
        consent: &ConsentArgs,
        what: &str,
        question: &str,
        signals: &Signals,
    ) -> anyhow::Result<bool> {
        if self.is_none() && !consent.is_dry_run() {
            return Ok(true);
        }
        self.ask_anyway(consent, what, question, signals).await
    }

    /// The same for what is meant to destroy: the question comes even where nothing goes now.
    ///
    /// # Errors
    /// As [`Loss::ask`].
    pub async fn ask_anyway(
        self,
        consent: &ConsentArgs,
        what: &str,
        question: &str,
        signals: &Signals,
    ) -> anyhow::Result<bool> {
        let told = format!("{} {what}", self.count());
        if let Some(refusal) = self.unseen {
            if consent.is_dry_run() {
                return Err(refusal.into());
            }
            remark(&format!("b24relay: the portal cannot be asked how many events wait there: {refusal}"));
        }
        consent.require_somebody_for(&told)?;
        print(&told)?;
        Ok(consent.is_given(question, signals).await?)
    }
}

/// What the state file knows of `source`, with the configured sinks that have got nothing yet.
///
/// # Errors
/// As [`Store::undelivered`].
pub async fn known(
    config: &Config,
    source: &SourceConfig,
    store: Option<&Store>,
) -> Result<Undelivered, StoreError> {
    let mut known = match store {
        Some(store) => store.undelivered(&source.name).await?,
        None => Undelivered::default(),
    };
    for sink in config.sinks.iter().filter(|sink| sink.takes_source(&source.name)) {
        known.begin(&sink.name);
    }
    Ok(known)
}

/// The oldest events that wait in the queue of `source`.
///
/// # Errors
/// As [`Peek::page`].
pub async fn page(source: &SourceConfig, callers: &Callers) -> Result<Batch, CallError> {
    let identity = callers.identity(source).await?;
    let caller = callers.of(source).map_err(|reason| CallError::operator("profile", reason, ""))?;
    Peek::new(source, &identity, caller).page().await
}
