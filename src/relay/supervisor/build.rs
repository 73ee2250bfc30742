//! Builds a source and its lanes from the records in the state file, which say where each continues. Also handles the
//! lanes whose sink is no longer configured.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::{info, warn};

use crate::checkpoint::Checkpoint;
use crate::config::{SinkConfig, SourceConfig};
use crate::event::Seq;
use crate::event::{Entry, Queue};
use crate::log_code;
use crate::portal::Upstream;
use crate::relay::clock::PortalClock;
use crate::relay::context::Common;
use crate::relay::journal::Journal;
use crate::relay::lane::limiter::Gate;
use crate::relay::lane::worker::{Lane, LaneStart};
use crate::relay::outcome::Ending;
use crate::relay::outcome::RelayError;
use crate::relay::outcome::Settled;
use crate::relay::source::confirm_window::Window;
use crate::relay::source::poll_loop::Source;
use crate::relay::source::poller::Poller;
use crate::relay::source::retention::Coverage;
use crate::store::{Adopted, GAP_KIND, LaneRecord};

/// A source that is ready to run.
pub struct Opened {
    source: Source,
    lanes: Vec<Lane>,
    /// Carried out only when the source runs, because another source may still be refused.
    removals: Vec<Removal>,
}

impl Opened {
    /// See [`Source::run`].
    pub async fn run(self) -> Result<Ending, RelayError> {
        for removal in &self.removals {
            if removal.carry_out().await? == Settled::CutShort {
                return Ok(Ending::CutShort);
            }
        }
        Box::pin(self.source.run(self.lanes)).await
    }
}

/// Builds the source of `config`, which reads `upstream`. The queue belongs to the user `owner`, if it belongs to a
/// user.
pub async fn assemble(
    upstream: Box<dyn Upstream>,
    owner: Option<u64>,
    adopted: Adopted,
    config: &SourceConfig,
    sinks: &[(SinkConfig, Arc<Gate>)],
    common: &Common,
) -> Result<Opened, RelayError> {
    let queue = Arc::clone(upstream.queue());
    let clock = PortalClock::with_skew(adopted.skew_ms);
    let open = open(&queue, &adopted, common).await?;
    let Adopted { lanes, reading, first, untold, journal_bytes, covered_ms, has_odd_dates, .. } = adopted;
    let (starts, removed) = starts(lanes, first, sinks);
    let removals: Vec<Removal> = removed
        .into_iter()
        .map(|(sink, record)| Removal::new(&queue, sink, &record.checkpoint, reading.next, common))
        .collect();
    let kept = removals.iter().filter(|removal| removal.backlog > 0).map(|removal| removal.next).min();
    let mut journal = Journal::new(&queue, reading.next, journal_bytes, kept, common);
    let lane_common = Common { signals: common.lane_signals.clone(), ..common.clone() };
    let lanes: Vec<Lane> = starts
        .into_iter()
        .map(|start| {
            Lane::new(&config.name, start, &lane_common, clock.clone(), |sink, ledger| {
                journal.reader(sink, ledger.committed())
            })
        })
        .collect();
    let coverage = Coverage::new(&queue.source, common.delivery.retention, clock.clone(), covered_ms);
    let offset = reading.confirmed.max(reading.floor).get();
    let (count, hold) = (lanes.len(), common.delivery.hold);
    info!(source = %queue.source, queue = %queue.identity, offset, sinks = count, %hold, "source started");
    let window = Window::new(config.confirm_lag, hold, reading, &open, has_odd_dates);
    let poller = Poller::new(upstream, owner, &config.poll, coverage.clone(), clock.clone(), common);
    let source = Source::new(poller, journal, window, untold, coverage, clock, common);
    Ok(Opened { source, lanes, removals })
}

/// The events that the portal may still have.
async fn open(queue: &Arc<Queue>, adopted: &Adopted, common: &Common) -> Result<Vec<Entry>, RelayError> {
    let (mut open, mut from) = (Vec::new(), adopted.reading.open.max(adopted.first));
    while from < adopted.reading.next {
        let (entries, end) = common.store.read_journal(queue, from, usize::MAX).await?;
        open.extend(entries);
        if end <= from {
            break;
        }
        from = end;
    }
    open.retain(|entry| entry.event.kind != GAP_KIND);
    Ok(open)
}

/// A lane for each sink, and the records of sinks that are no longer configured. The journal begins at `first`.
fn starts(
    mut records: HashMap<String, LaneRecord>,
    first: Seq,
    sinks: &[(SinkConfig, Arc<Gate>)],
) -> (Vec<LaneStart>, Vec<(String, LaneRecord)>) {
    let start = |(config, gate): &(SinkConfig, Arc<Gate>)| {
        let (beginning, record) = (Checkpoint::at(Seq::FIRST), records.remove(&config.name));
        // A lane that has only failed so far has a record, too.
        let is_new = record.as_ref().is_none_or(|record| {
            let has_begun = record.start_ms.is_some() || record.inherited.is_some() || record.mark.is_some();
            record.checkpoint == beginning && !has_begun
        });
        let new = LaneRecord {
            checkpoint: beginning,
            start_ms: None,
            mark: None,
            inherited: None,
            pause: record.as_ref().and_then(|record| record.pause.clone()),
        };
        let mut record = record.filter(|_| !is_new).unwrap_or(new);
        if is_new {
            record.checkpoint.advance(first);
        }
        LaneStart { config: config.clone(), gate: Arc::clone(gate), record, is_new }
    };
    let starts = sinks.iter().map(start).collect();
    for record in records.values_mut() {
        record.checkpoint.advance(first);
    }
    let mut removed: Vec<_> = records.into_iter().collect();
    removed.sort_by(|(one, _), (other, _)| one.cmp(other));
    (starts, removed)
}

/// A sink that is no longer configured for a source.
struct Removal {
    source: Arc<str>,
    sink: String,
    /// The first event that it has not settled.
    next: Seq,
    /// How many events it has not settled. The journal keeps them; without any, the sink is forgotten.
    backlog: u64,
    common: Common,
}

impl Removal {
    /// Creates the removal. A removed sink without a backlog is forgotten; otherwise the operator decides.
    fn new(queue: &Queue, sink: String, checkpoint: &Checkpoint, end: Seq, common: &Common) -> Self {
        let (source, common) = (Arc::clone(&queue.source), common.clone());
        Self { source, sink, next: checkpoint.next(), backlog: checkpoint.pending(end), common }
    }

    async fn carry_out(&self) -> Result<Settled, RelayError> {
        let Self { source, sink, backlog, common, .. } = self;
        if *backlog == 0 {
            let forget = || common.store.forget_lane(source, sink);
            if common.disk().persist("checkpoint", forget).await?.is_none() {
                return Ok(Settled::CutShort);
            }
            info!(%source, sink, "sink is no longer configured: it had settled everything and is forgotten");
            return Ok(Settled::All);
        }
        let way_out = format!(
            "put it back, or start with `b24relay run --forget {sink}`, which lets go of what it has not got"
        );
        warn!(code = %log_code::SINK_REMOVED, %source, sink, backlog, way_out, "sink is no longer configured: the journal keeps its events");
        Ok(Settled::All)
    }
}
