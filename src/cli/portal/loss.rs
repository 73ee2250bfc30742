//! Counts the undelivered events that a command would remove. Counting changes nothing.

use std::collections::BTreeSet;

use b24_client::CallError;
use b24_client::PAGE_MAX;

use crate::cli::output::consent::ConsentArgs;
use crate::cli::output::print::{print, remark};
use crate::cli::portal::peek::Peek;
use crate::config::{Config, SourceConfig};
use crate::event::{Batch, Event, EventId, Offset};
use crate::relay::PortalClients;
use crate::shutdown::Signals;
use crate::store::{Store, StoreError, Undelivered};

/// The events that would be lost.
#[derive(Default)]
pub(in crate::cli) struct Loss {
    ids: BTreeSet<(String, EventId)>,
    /// Whether there are more events than one read can show.
    is_more: bool,
    /// The error, if the portal's queue could not be read.
    unseen: Option<CallError>,
}

impl Loss {
    /// The journal's events of `source` below `end` that are undelivered to a sink for which `is_concerned` is true.
    pub(in crate::cli) fn of_journal(
        source: &str,
        known: &Undelivered,
        end: Option<Offset>,
        is_concerned: impl Fn(&str) -> bool,
    ) -> Self {
        let is_meant = |id: &EventId| end.is_none_or(|end| !end.wants(*id));
        let ids = known.lacking(is_concerned).filter(is_meant);
        Self { ids: ids.map(|id| (source.to_owned(), id)).collect(), ..Self::default() }
    }

    /// Adds the events that wait at the portal, are below `end`, and for which `is_lost` is true.
    pub(in crate::cli) fn add_page(
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

    /// Adds the events of another source.
    pub(in crate::cli) fn add(&mut self, other: Self) {
        self.ids.extend(other.ids);
        self.is_more |= other.is_more;
        self.unseen = self.unseen.take().or(other.unseen);
    }

    /// Whether it is certain that no event is lost.
    pub(in crate::cli) fn is_none(&self) -> bool {
        self.ids.is_empty() && !self.is_more && self.unseen.is_none()
    }

    /// The number of lost events, in words.
    pub(in crate::cli) fn count(&self) -> String {
        let count = self.ids.len();
        let least = if self.is_more || self.unseen.is_some() { "at least " } else { "" };
        format!("{least}{count} event{}", if count == 1 { "" } else { "s" })
    }

    /// Reports `what` would be lost, and asks whether to go on. If nothing is lost, it asks only in a dry run.
    ///
    /// # Errors
    /// In a dry run: the portal's error, because then the number of lost events is unknown. Without a terminal to ask
    /// on: a usage error.
    pub(in crate::cli) async fn ask(
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

    /// Asks even if nothing would be lost now, for a command that is meant to destroy.
    pub(in crate::cli) async fn ask_anyway(
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

/// The events of `source` in the state file that are undelivered, including those of configured sinks that have no
/// record yet.
pub(in crate::cli) async fn known(
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
pub(in crate::cli) async fn page(source: &SourceConfig, clients: &PortalClients) -> Result<Batch, CallError> {
    let identity = clients.identity(source).await?;
    let client = clients.of(source).map_err(|error| CallError::operator("profile", error.to_string(), ""))?;
    Peek::new(source, &identity, client).page().await
}
