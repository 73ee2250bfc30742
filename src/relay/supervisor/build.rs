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
use crate::relay::clock::PortalClock;
use crate::relay::context::EngineContext;
use crate::relay::journal::Journal;
use crate::relay::lane::limiter::DeliveryLimiter;
use crate::relay::lane::worker::{Lane, LaneStart};
use crate::relay::outcome::Ending;
use crate::relay::outcome::Halt;
use crate::relay::outcome::RelayError;
use crate::relay::source::confirm_window::ConfirmWindow;
use crate::relay::source::poll_loop::Source;
use crate::relay::source::poller::Poller;
use crate::relay::source::retention::Coverage;
use crate::relay::source::upstream::Upstream;
use crate::store::{GAP_KIND, LaneRecord, StoredSource};

/// A source that is ready to run.
pub(crate) struct ReadySource {
    source: Source,
    lanes: Vec<Lane>,
    /// Carried out only when the source runs, because another source may still be refused.
    removals: Vec<Removal>,
}

impl ReadySource {
    /// See [`Source::run`].
    pub(crate) async fn run(self) -> Result<Ending, RelayError> {
        for removal in &self.removals {
            if Halt::unless_stopped(removal.carry_out().await)?.is_none() {
                return Ok(Ending::CutShort);
            }
        }
        Box::pin(self.source.run(self.lanes)).await
    }
}

/// A queue that is the one on record for its source.
pub(crate) struct BoundQueue {
    pub upstream: Box<dyn Upstream>,
    /// The user that owns it, if a user does.
    pub owner: Option<u64>,
    /// The source's record in the state file.
    pub stored: StoredSource,
}

/// Builds the source of `config`, which reads `queue`.
pub(crate) async fn assemble(
    queue: BoundQueue,
    config: &SourceConfig,
    sinks: &[(SinkConfig, Arc<DeliveryLimiter>)],
    context: &EngineContext,
) -> Result<ReadySource, RelayError> {
    let BoundQueue { upstream, owner, stored } = queue;
    let queue = Arc::clone(upstream.queue());
    let clock = PortalClock::with_skew(stored.skew_ms);
    let open = open(&queue, &stored, context).await?;
    let StoredSource { lanes, reading, first, untold, journal_bytes, covered_ms, has_odd_dates, .. } = stored;
    let (starts, removed) = starts(lanes, first, sinks);
    let removals: Vec<Removal> = removed
        .into_iter()
        .map(|(sink, record)| Removal::new(&queue, sink, &record.checkpoint, reading.next, context))
        .collect();
    let kept = removals.iter().filter(|removal| removal.backlog > 0).map(|removal| removal.next).min();
    let mut journal = Journal::new(&queue, reading.next, journal_bytes, kept, context);
    let lane_common = EngineContext { signals: context.lane_signals.clone(), ..context.clone() };
    let lanes: Vec<Lane> = starts
        .into_iter()
        .map(|start| {
            Lane::new(&config.name, start, &lane_common, clock.clone(), |sink, committer| {
                journal.reader(sink, committer.committed())
            })
        })
        .collect();
    let coverage = Coverage::new(&queue.source, context.delivery.retention, clock.clone(), covered_ms);
    let offset = reading.confirmed.max(reading.floor).get();
    let (count, hold) = (lanes.len(), context.delivery.hold);
    info!(source = %queue.source, queue = %queue.identity, offset, sinks = count, %hold, "source started");
    let window = ConfirmWindow::new(config.confirm_lag, hold, reading, &open, has_odd_dates);
    let poller = Poller::new(upstream, owner, &config.poll, coverage, context);
    let source = Source::new(poller, journal, window, untold, context);
    Ok(ReadySource { source, lanes, removals })
}

/// The events that the portal may still have.
async fn open(
    queue: &Arc<Queue>,
    stored: &StoredSource,
    context: &EngineContext,
) -> Result<Vec<Entry>, RelayError> {
    let (mut open, mut from) = (Vec::new(), stored.reading.open.max(stored.first));
    while from < stored.reading.next {
        let (entries, end) = context.store.read_journal(queue, from, usize::MAX).await?;
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
    sinks: &[(SinkConfig, Arc<DeliveryLimiter>)],
) -> (Vec<LaneStart>, Vec<(String, LaneRecord)>) {
    let start = |(config, limiter): &(SinkConfig, Arc<DeliveryLimiter>)| {
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
        LaneStart { config: config.clone(), limiter: Arc::clone(limiter), record, is_new }
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
    context: EngineContext,
}

impl Removal {
    /// Creates the removal. A removed sink without a backlog is forgotten; otherwise the operator decides.
    fn new(queue: &Queue, sink: String, checkpoint: &Checkpoint, end: Seq, context: &EngineContext) -> Self {
        let (source, context) = (Arc::clone(&queue.source), context.clone());
        Self { source, sink, next: checkpoint.next(), backlog: checkpoint.pending(end), context }
    }

    async fn carry_out(&self) -> Result<(), Halt> {
        let Self { source, sink, backlog, context, .. } = self;
        if *backlog == 0 {
            let forget = || context.store.forget_lane(source, sink);
            context.disk().persist("checkpoint", forget).await?;
            info!(%source, sink, "sink is no longer configured: it had settled everything and is forgotten");
            return Ok(());
        }
        let hint = format!(
            "put it back, or start with `b24relay run --forget {sink}`, which lets go of what it has not got"
        );
        warn!(code = %log_code::SINK_REMOVED, %source, sink, backlog, hint, "sink is no longer configured: the journal keeps its events");
        Ok(())
    }
}
