//! Counts the events of a demo: on the portal, at both sinks, and lost ones.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use anyhow::Context as _;
use b24_sandbox::Sandbox;
use serde::Deserialize;

use crate::cli::demo::receiver::Receiver;
use crate::store::Store;

/// All of it at one moment.
pub(super) struct Count {
    happened: usize,
    file: Arrived,
    receiver: Arrived,
}

/// The events at one sink.
struct Arrived {
    count: usize,
    missing: usize,
    lost: usize,
    /// How many came more than once.
    again: u64,
}

/// The places that the count compares.
pub(super) struct Sides<'a> {
    pub sandbox: &'a Sandbox,
    pub user: u64,
    pub state: &'a Path,
    pub archive: &'a Path,
    pub receiver: &'a Receiver,
}

/// A line of the file sink.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "eventId")]
    event_id: u64,
}

impl Count {
    /// Counts, in the order in which events move: the portal, the state file, the sinks. An event that moves meanwhile
    /// is counted on one side at least.
    pub(super) fn of(sides: &Sides<'_>) -> anyhow::Result<Self> {
        let ledger = sides.sandbox.ledger(sides.user);
        let stats = sides.sandbox.stats();
        let offset = stats.users.get(&sides.user).map_or(0, |queue| queue.last_offset);
        let forgotten = u64::try_from(offset).unwrap_or(0);
        let lanes = if sides.state.exists() { Store::report(sides.state)?.lanes } else { Vec::new() };
        let arrived = |sink: &str, ids: &HashSet<u64>, again: u64| {
            let missing: Vec<u64> = ledger.iter().copied().filter(|id| !ids.contains(id)).collect();
            let pending: u64 = lanes.iter().filter(|lane| lane.sink == sink).map(|lane| lane.pending).sum();
            let held_by_relay = missing.iter().filter(|id| **id < forgotten).count();
            let lost = held_by_relay.saturating_sub(usize::try_from(pending).unwrap_or(usize::MAX));
            Arrived { count: ids.len(), missing: missing.len(), lost, again }
        };
        let (filed, twice) = filed(sides.archive)?;
        let (received, again) = sides.receiver.received();
        Ok(Self {
            happened: ledger.len(),
            file: arrived("archive", &filed, twice),
            receiver: arrived("receiver", &received, again),
        })
    }

    /// How many events have arrived at the receiver.
    pub(super) fn delivered(&self) -> usize {
        self.receiver.count
    }

    /// Whether everything has arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.file.missing == 0 && self.receiver.missing == 0
    }

    /// Whether a promise is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.file.lost > 0 || self.receiver.lost > 0 || self.file.again > 0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { happened, file, receiver } = self;
        let on_the_way = |arrived: &Arrived| match arrived.missing - arrived.lost.min(arrived.missing) {
            0 => String::new(),
            count => format!(", {count} on their way"),
        };
        write!(
            f,
            "{happened} events happened. File: {} delivered{}, {} lost, {} twice. Receiver: {} delivered{}, {} lost, {} \
             twice",
            file.count,
            on_the_way(file),
            file.lost,
            file.again,
            receiver.count,
            on_the_way(receiver),
            receiver.lost,
            receiver.again,
        )?;
        if receiver.again > 0 {
            f.write_str(", known by their id")?;
        }
        Ok(())
    }
}

/// The events in the file, and how many lines repeat one.
fn filed(file: &Path) -> anyhow::Result<(HashSet<u64>, u64)> {
    let (mut ids, mut twice) = (HashSet::new(), 0);
    let text =
        if file.exists() { std::fs::read_to_string(file).context("read the file")? } else { String::new() };
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let line: Line = serde_json::from_str(line).context("a line of the file")?;
        twice += u64::from(!ids.insert(line.event_id));
    }
    Ok((ids, twice))
}
