//! One way of posting a backlog, measured.

use std::time::Duration;

use crate::measure::{Usage, run};
use crate::processes::{Portal, folder, relay_with};
use crate::receiver::{Log, Receiver};

/// So many that requests wait for each other rarely.
const CHATS: &str = "1000";

/// How events are posted.
#[derive(Clone, Copy)]
pub struct Way {
    pub name: &'static str,
    /// The sink's keys.
    keys: &'static str,
    /// How many requests there are at once.
    pub concurrency: u32,
    /// How many events a request holds.
    pub batch: u32,
}

/// What came of one run.
pub struct Run {
    pub way: Way,
    pub events: u32,
    pub usage: Usage,
    pub log: Log,
}

impl Way {
    pub const ALL: [Self; 4] = [
        Self { name: "strict", keys: "ordering = \"strict\"", concurrency: 1, batch: 1 },
        Self { name: "chat, 10 at once", keys: "concurrency = 10", concurrency: 10, batch: 1 },
        Self { name: "chat, 50 at once", keys: "concurrency = 50", concurrency: 50, batch: 1 },
        Self {
            name: "strict, batches of 100",
            keys: "ordering = \"strict\"\nbatch = { events = 100 }",
            concurrency: 1,
            batch: 100,
        },
    ];

    pub fn run(self, events: u32, latency: Duration) -> Run {
        let (portal, receiver, folder) =
            (Portal::start_with(events, &["--chats", CHATS]), Receiver::start(latency), folder());
        let sink = format!("[sinks.bench]\ntype = \"webhook\"\nurl = \"{}\"\n{}", receiver.url, self.keys);
        let mut command = relay_with(folder.path(), &portal.url, "confirm_lag = \"0s\"", &sink);
        command.arg("--once");
        let usage = run(command);
        portal.assert_drained(events);
        let log = receiver.log();
        assert!(log.requests >= events / self.batch, "{} requests", log.requests);
        Run { way: self, events, usage, log }
    }
}

impl Run {
    pub fn events_per_s(&self) -> f64 {
        f64::from(self.events) / self.log.elapsed().as_secs_f64()
    }

    /// What is reached of as many requests at once as are allowed, without a moment between them.
    pub fn share_of_ideal(&self, latency: Duration) -> f64 {
        let at_once = f64::from(self.way.concurrency * self.way.batch);
        self.events_per_s() / (at_once / latency.as_secs_f64())
    }

    pub fn cpu_us_per_event(&self) -> f64 {
        self.usage.cpu_us_per_event(self.events)
    }
}
