//! The cost of a long journal: the start, a live stream to a healthy sink, and the delivery of the journal to a late
//! sink, compared with an empty journal.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Extent;
use crate::daemon::{Daemon, until};
use crate::journey::{ROOM, dead};
use crate::lock::{Waits, watched};
use crate::processes::{EAGER, FILE, PROMPT, Portal, folder};
use crate::stream::{Tail, stream};

/// The late sink, after it is back.
const LATE: &str = "type = \"file\"\npath = \"late.jsonl\"";

/// One round of this part.
pub(crate) struct Million {
    pub empty: State,
    pub full: State,
    /// The delivery to the late sink.
    pub late: Late,
}

/// A daemon with a journal of some length.
pub(crate) struct State {
    pub journal_mib: f64,
    /// The time from its start to its first poll.
    pub start: Duration,
    pub latencies: Vec<Duration>,
    /// The waits during the stream.
    pub waits: Waits,
    pub peak_mib: f64,
    /// The time that `b24relay status` took.
    pub status: Duration,
}

/// The delivery of the whole journal.
pub(crate) struct Late {
    pub events_per_s: f64,
    pub waits: Waits,
    pub peak_mib: f64,
}

impl Million {
    pub(crate) fn run(entries: u32, extent: Extent) -> Self {
        let (empty, ()) = State::observe(0, extent, |_, _, _| ());
        let (full, late) = State::observe(entries, extent, late);
        Self { empty, full, late }
    }
}

impl State {
    /// Measures a daemon with `entries` in its journal that a dead sink lacks; then runs `next`.
    fn observe<T>(entries: u32, extent: Extent, next: impl FnOnce(&Portal, &Path, u32) -> T) -> (Self, T) {
        let (portal, folder) = (Portal::start(entries), folder());
        let lines = format!("{EAGER}\n{PROMPT}");
        let daemon = Daemon::start(folder.path(), &portal.url, &lines, &sections(&dead()));
        until("the entries are in the journal", || {
            polls(&portal) > 1 && portal.stats()["users"]["1"]["confirmed"] == entries
        });
        until("the healthy sink has them", || daemon.delivered("bench") == entries);
        daemon.stop();

        let polled = polls(&portal);
        let started = Instant::now();
        let daemon = Daemon::start(folder.path(), &portal.url, EAGER, &sections(&dead()));
        until("it polls", || polls(&portal) > polled);
        let start = started.elapsed();
        let mut tail = Tail::of(&folder.path().join("events.jsonl"));
        tail.skip(entries);
        let (latencies, waits) = watched(&daemon.state(), || stream(&portal, &mut tail, extent.stream));
        let asked = Instant::now();
        assert!(daemon.command(&["status"]).status().is_ok());
        let status = asked.elapsed();
        let (journal_mib, peak_mib) = (daemon.journal_mib(), daemon.usage().peak_mib);
        daemon.stop();
        let events = entries + u32::try_from(latencies.len()).unwrap();
        let outcome = next(&portal, folder.path(), events);
        (Self { journal_mib, start, latencies, waits, peak_mib, status }, outcome)
    }
}

/// Delivers `events` to the late sink, and waits until the journal has deleted them.
fn late(portal: &Portal, folder: &Path, events: u32) -> Late {
    let daemon = Daemon::start(folder, &portal.url, &format!("{EAGER}\n{PROMPT}"), &sections(LATE));
    let (events_per_s, waits) = watched(&daemon.state(), || {
        until("the late sink has them", || daemon.delivered("late") >= events);
        let events_per_s = daemon.usage().events_per_s(events);
        until("the journal is empty", || daemon.is_journal_empty());
        events_per_s
    });
    let peak_mib = daemon.usage().peak_mib;
    daemon.stop();
    Late { events_per_s, waits, peak_mib }
}

fn sections(late: &str) -> String {
    format!("[sinks.bench]\n{FILE}\n[sinks.late]\n{late}\n{ROOM}")
}

fn polls(portal: &Portal) -> u64 {
    portal.stats()["requests"]["im.v2.Event.get"].as_u64().unwrap_or(0)
}
