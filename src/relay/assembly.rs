//! From what is on record to a source with its lanes: where each goes on, and what became of those whose
//! sink is no longer configured.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::{info, warn};

use super::clock::PortalClock;
use super::direct::Direct;
use super::gap::Coverage;
use super::gate::Gate;
use super::journal::JournalWriter;
use super::lane::{Lane, Settled};
use super::late::Late;
use super::opening::Common;
use super::poller::Poller;
use super::source::{Route, Source};
use super::tail::Tail;
use super::{Ending, RelayError};
use crate::checkpoint::Checkpoint;
use crate::config::{DeliveryMode, SinkConfig, SourceConfig};
use crate::event::{EventId, Offset, Queue};
use crate::portal::Upstream;
use crate::store::{Adopted, LaneRecord};

/// A source that can run.
pub struct Opened {
    pub(super) source: Source,
    route: Route,
    received: Offset,
    /// Nothing of it is done before the source runs: another one may be refused yet.
    removals: Vec<Removal>,
}

impl Opened {
    /// See [`Source::run`].
    ///
    /// # Errors
    /// Only what ends the process.
    pub async fn run(self) -> Result<Ending, RelayError> {
        for removal in &self.removals {
            if removal.carry_out().await? == Settled::CutShort {
                return Ok(Ending::CutShort);
            }
        }
        Box::pin(self.source.run(self.route, self.received)).await
    }
}

/// Puts together the source of `config` that reads `upstream`, which belongs to `owner`, if to any user.
///
/// # Errors
/// Only what ends the process.
pub async fn assemble(
    upstream: Box<dyn Upstream>,
    owner: Option<u64>,
    mut adopted: Adopted,
    config: &SourceConfig,
    sinks: &[(SinkConfig, Arc<Gate>)],
    common: &Common,
) -> Result<Opened, RelayError> {
    let queue = Arc::clone(upstream.queue());
    let clock = PortalClock::with_skew(adopted.skew_ms);
    let records = std::mem::take(&mut adopted.lanes);
    let (lanes, removed) = lanes(records, &adopted, config, sinks, common, &clock);
    // Whose sink was removed still gets what is at the portal, into the journal.
    let checkpoints = lanes.iter().map(Lane::checkpoint);
    let checkpoints: Vec<&Checkpoint> =
        checkpoints.chain(removed.iter().map(|(_, record)| &record.checkpoint)).collect();
    let wanted = checkpoints.iter().map(|checkpoint| checkpoint.offset()).min().unwrap_or(Offset::START);
    let received = adopted.received.max(wanted);
    let mut known = known(&queue, &checkpoints, received, common).await?;
    // What direct mode has confirmed since stays away for no other reason.
    known.retain(|id| adopted.confirmed.wants(*id));
    let mut removals = Vec::with_capacity(removed.len());
    for (sink, record) in removed {
        let is_behind = is_behind(&record.checkpoint, &lanes);
        removals.push(remove(&queue, sink, &record.checkpoint, is_behind, common).await?);
    }
    let coverage = Coverage::new(&queue.source, common.delivery.retention, clock.clone(), adopted.covered_ms);
    let (count, mode) = (lanes.len(), common.delivery.mode);
    let (route, from) = match mode {
        DeliveryMode::Direct => (Route::Direct(Direct::new(&queue, lanes, common)), received),
        DeliveryMode::Journal => {
            let gaps = if common.delivery.gap_events { adopted.gaps } else { 0 };
            let mut writer = JournalWriter::new(&queue, received, gaps, common);
            let feeders = lanes.into_iter().map(|lane| writer.feeder(lane)).collect();
            (Route::Journal(writer, feeders), received)
        }
    };
    info!(source = %queue.source, queue = %queue.identity, offset = from.get(), sinks = count, %mode, "source started");
    let late = Late::new(&queue, sinks.iter().map(|(config, _)| config), clock.clone(), common);
    let tail = Tail::new(config.confirm_lag, from, known, adopted.has_odd_dates);
    let poller = Poller::new(
        upstream,
        owner,
        adopted.confirmed,
        &config.poll,
        coverage.clone(),
        clock.clone(),
        common,
    );
    Ok(Opened {
        source: Source::new(poller, tail, late, coverage, clock, common),
        route,
        received: adopted.received,
        removals,
    })
}

/// A lane for each sink, and the records of those that have none.
fn lanes(
    mut records: HashMap<String, LaneRecord>,
    adopted: &Adopted,
    config: &SourceConfig,
    sinks: &[(SinkConfig, Arc<Gate>)],
    common: &Common,
    clock: &PortalClock,
) -> (Vec<Lane>, Vec<(String, LaneRecord)>) {
    let lanes = sinks.iter().map(|(sink_config, gate)| {
        let record = records.remove(&sink_config.name);
        let beginning = Checkpoint::at(Offset::START);
        let record = record.unwrap_or_else(|| LaneRecord {
            checkpoint: beginning.clone(),
            start_ms: None,
            gaps: adopted.gaps,
            pause: None,
        });
        // Of one that has only failed so far there is a record, too.
        let is_new = record.checkpoint == beginning && record.start_ms.is_none();
        // Gaps of a time when nobody wanted to hear of them are not told later.
        let gaps = if common.delivery.gap_events { record.gaps } else { adopted.gaps };
        let record = LaneRecord { gaps, ..record };
        let lane = Lane::new(&config.name, sink_config, Arc::clone(gate), record, common, clock.clone());
        if is_new { lane.beginning() } else { lane }
    });
    let lanes = lanes.collect();
    let mut removed: Vec<_> = records.into_iter().collect();
    removed.sort_by(|(one, _), (other, _)| one.cmp(other));
    (lanes, removed)
}

/// What the portal will show again, from `received` on, though it needs nothing more.
async fn known(
    queue: &Arc<Queue>,
    checkpoints: &[&Checkpoint],
    received: Offset,
    common: &Common,
) -> Result<Vec<EventId>, RelayError> {
    let Some((first, others)) = checkpoints.split_first() else { return Ok(Vec::new()) };
    let settled = first.above().filter(|id| received.wants(*id));
    let settled = settled.filter(|id| others.iter().all(|checkpoint| checkpoint.covers(*id)));
    let mut known: Vec<EventId> = settled.collect();
    if common.delivery.mode == DeliveryMode::Journal && received > Offset::START {
        let chunk = common.store.read_journal(queue, &Checkpoint::at(received)).await?;
        known.extend(chunk.events.iter().map(|event| event.id));
    }
    Ok(known)
}

/// Whether a lane has settled less than the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// All that others have settled it has settled as well.
    Nobody,
    Somebody,
}

fn is_behind(checkpoint: &Checkpoint, lanes: &[Lane]) -> Behind {
    let others = lanes.iter().map(Lane::checkpoint);
    let mut ahead = others.filter(|other| {
        other.offset() > checkpoint.offset() || other.above().any(|id| !checkpoint.covers(id))
    });
    if ahead.next().is_some() { Behind::Somebody } else { Behind::Nobody }
}

/// A sink that is no longer configured for a source.
struct Removal {
    source: Arc<str>,
    sink: String,
    rest: Rest,
    common: Common,
}

/// What it has not settled.
enum Rest {
    /// Nothing: it is forgotten.
    Nothing,
    /// Some events, which the journal keeps.
    Kept(usize),
}

/// Without a backlog a removed sink is forgotten; with one that is an operator's decision.
async fn remove(
    queue: &Arc<Queue>,
    sink: String,
    checkpoint: &Checkpoint,
    is_behind: Behind,
    common: &Common,
) -> Result<Removal, RelayError> {
    let source = Arc::clone(&queue.source);
    let backlog = common.store.read_journal(queue, checkpoint).await?.events.len();
    let rest = match common.delivery.mode {
        _ if backlog == 0 && is_behind == Behind::Nobody => Rest::Nothing,
        DeliveryMode::Journal => Rest::Kept(backlog),
        DeliveryMode::Direct => {
            let way_out = way_out(&sink);
            return Err(RelayError::Setup(format!(
                "sinks.{sink}: is no longer configured, and has not settled what `{source}` has for it: {way_out}"
            )));
        }
    };
    Ok(Removal { source, sink, rest, common: common.clone() })
}

impl Removal {
    async fn carry_out(&self) -> Result<Settled, RelayError> {
        let Self { source, sink, rest, common } = self;
        match rest {
            Rest::Nothing => {
                let forget = || common.store.forget_lane(source, sink);
                if common.disk().persist("checkpoint", forget).await?.is_none() {
                    return Ok(Settled::CutShort);
                }
                info!(%source, sink, "sink is no longer configured: it had settled everything and is forgotten");
            }
            Rest::Kept(backlog) => {
                let way_out = way_out(sink);
                warn!(%source, sink, backlog, way_out, "sink is no longer configured: the journal keeps its events");
            }
        }
        Ok(Settled::All)
    }
}

fn way_out(sink: &str) -> String {
    format!("put it back, or start with `b24relay run --forget {sink}`, which lets go of what it has not got")
}
