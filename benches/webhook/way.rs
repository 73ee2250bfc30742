//! One way to deliver a backlog, measured.

use std::time::Duration;

use crate::measure::{Usage, run};
use crate::processes::{EAGER, PROMPT, Portal, folder, relay_with};
use crate::receiver::{Log, Receiver};

/// So many chats that requests rarely wait for each other.
const CHATS: &str = "1000";

const BATCHES: &str = "ordering = \"strict\"\nbatch = { events = 100 }";

/// How events are delivered.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub name: &'static str,
    /// The settings of the sink.
    keys: &'static str,
    /// The number of concurrent requests.
    pub concurrency: u32,
    /// The number of events in a request.
    pub batch: u32,
    /// `delivery.hold`.
    hold: &'static str,
}

/// The result of one run.
pub(crate) struct Run {
    pub way: Way,
    pub events: u32,
    pub usage: Usage,
    pub log: Log,
}

impl Way {
    /// With `hold = "forever"`, the next page is requested only after the whole previous page is settled, and nothing
    /// is delivered in between. Otherwise the journal always has more events to deliver.
    pub(crate) const ALL: [Self; 6] = [
        Self::by("strict", "ordering = \"strict\"", [1, 1], "0s"),
        Self::by("chat, 10 at once", "concurrency = 10", [10, 1], "0s"),
        Self::by("chat, 50 at once", "concurrency = 50", [50, 1], "0s"),
        Self::by("chat, 50, hold forever", "concurrency = 50", [50, 1], "forever"),
        Self::by("batches of 100", BATCHES, [1, 100], "0s"),
        Self::by("batches, hold forever", BATCHES, [1, 100], "forever"),
    ];

    const fn by(
        name: &'static str,
        keys: &'static str,
        [concurrency, batch]: [u32; 2],
        hold: &'static str,
    ) -> Self {
        Self { name, keys, concurrency, batch, hold }
    }

    pub(crate) fn run(self, events: u32, latency: Duration) -> Run {
        let (portal, receiver, folder) =
            (Portal::start_with(events, &["--chats", CHATS]), Receiver::start(latency), folder());
        let sink = format!(
            "[sinks.bench]\ntype = \"webhook\"\nurl = \"{}\"\n{}\n[delivery]\nhold = \"{}\"",
            receiver.url, self.keys, self.hold
        );
        let lines = format!("{EAGER}\n{PROMPT}");
        let mut command = relay_with(folder.path(), &portal.url, &lines, &sink);
        command.arg("--once");
        let usage = run(command);
        portal.assert_drained(events);
        let log = receiver.log();
        assert!(log.requests >= events / self.batch, "{} requests", log.requests);
        Run { way: self, events, usage, log }
    }
}

impl Run {
    pub(crate) fn events_per_s(&self) -> f64 {
        f64::from(self.events) / self.log.elapsed().as_secs_f64()
    }

    /// The share of the ideal, in which the allowed number of requests runs at any time without gaps.
    pub(crate) fn share_of_ideal(&self, latency: Duration) -> f64 {
        let at_once = f64::from(self.way.concurrency * self.way.batch);
        self.events_per_s() / (at_once / latency.as_secs_f64())
    }

    pub(crate) fn cpu_us_per_event(&self) -> f64 {
        self.usage.cpu_us_per_event(self.events)
    }
}
