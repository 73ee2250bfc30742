//! Fills the journal while the only sink is dead, and empties it after the sink is back.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::{Daemon, until};
use crate::measure::{Usage, cpu_of};
use crate::processes::{EAGER, FILE, PROMPT, Portal, Receiver, folder};
use crate::{PAGE, WEBHOOK_SHARE};

/// There is room for everything that an emulated portal can hold.
pub(crate) const ROOM: &str = "[journal]\nmax_size = \"16GiB\"";

/// One round of this part.
pub(crate) struct Journey {
    pub append: Leg,
    pub file: Way,
    pub webhook: Way,
}

/// The delivery to one sink.
pub(crate) struct Way {
    pub drain: Leg,
    /// The time from the daemon's start until the journal was empty.
    pub emptied: Duration,
}

/// One measured run.
pub(crate) struct Leg {
    pub events: u32,
    pub usage: Usage,
    /// The maximum size of the journal.
    pub journal_mib: f64,
    /// Processor time of the portal's process in this time: an upper bound for the time spent waiting for the portal.
    pub portal_cpu_s: f64,
}

/// A journal full of events, which the portal has already deleted.
struct Stock {
    portal: Portal,
    folder: TempDir,
    append: Leg,
}

impl Journey {
    pub(crate) fn run(events: u32) -> Self {
        let share = (events / WEBHOOK_SHARE).next_multiple_of(PAGE);
        let stock = Stock::lay_up(events);
        let file = Way::run(&stock, FILE);
        let lines = BufReader::new(File::open(stock.folder.path().join("events.jsonl")).unwrap()).lines();
        assert_eq!(lines.count(), events as usize);
        let receiver = Receiver::start();
        let sink = format!("type = \"webhook\"\nurl = \"{}\"", receiver.url);
        let webhook = Way::run(&Stock::lay_up(share), &sink);
        Self { append: stock.append, file, webhook }
    }
}

impl Stock {
    /// Lets the relay read `events`, until the portal has deleted the last of them.
    fn lay_up(events: u32) -> Self {
        let (portal, folder) = (Portal::start(events), folder());
        let idle_cpu_s = cpu_of(portal.id());
        let sink = format!("[sinks.bench]\n{}\nretry = {{ min = \"1h\", max = \"1h\" }}\n{ROOM}", dead());
        let daemon = Daemon::start(folder.path(), &portal.url, &format!("{EAGER}\n{PROMPT}"), &sink);
        until("all is confirmed", || portal.stats()["users"]["1"]["confirmed"] == events);
        let (usage, portal_cpu_s) = (daemon.usage(), cpu_of(portal.id()) - idle_cpu_s);
        let append = Leg { events, usage, journal_mib: daemon.journal_mib(), portal_cpu_s };
        daemon.stop();
        portal.assert_drained(events);
        Self { portal, folder, append }
    }
}

impl Way {
    fn run(stock: &Stock, sink: &str) -> Self {
        let (events, portal) = (stock.append.events, &stock.portal);
        let idle_cpu_s = cpu_of(portal.id());
        let sections = format!("[sinks.bench]\n{sink}\n{ROOM}");
        let daemon = Daemon::start(stock.folder.path(), &portal.url, EAGER, &sections);
        until("all has arrived", || daemon.delivered("bench") == events);
        let (usage, portal_cpu_s) = (daemon.usage(), cpu_of(portal.id()) - idle_cpu_s);
        let drain = Leg { events, usage, journal_mib: stock.append.journal_mib, portal_cpu_s };
        until("the journal is empty", || daemon.is_journal_empty());
        let emptied = daemon.usage().elapsed;
        daemon.stop();
        Self { drain, emptied }
    }
}

impl Leg {
    pub(crate) fn events_per_s(&self) -> f64 {
        self.usage.events_per_s(self.events)
    }

    pub(crate) fn cpu_us_per_event(&self) -> f64 {
        self.usage.cpu_us_per_event(self.events)
    }

    pub(crate) fn portal_cpu_us_per_event(&self) -> f64 {
        self.portal_cpu_s * 1e6 / f64::from(self.events)
    }
}

/// A webhook sink at a closed port.
pub(crate) fn dead() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("type = \"webhook\"\nurl = \"http://{address}/\"")
}
