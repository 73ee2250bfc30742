//! The contenders, and one run of each: a portal, a process, a measurement.

use std::process::Command;

use crate::measure::{Usage, cpu_of, run};
use crate::processes::{FILE, NO_HOLD, Portal, Receiver, folder, myself, relay};
use crate::{PAGE, WEBHOOK_SHARE};

/// One way to drain a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// Reads and confirms, drops the events.
    Bare,
    /// Stores the bytes of each page and the offset, as a short script would.
    Durable,
    /// The relay with a file sink; the portal may delete events that are in the journal.
    RelayToFile,
    /// The same with the default hold.
    RelayHolding,
    /// The relay with a webhook sink.
    RelayToWebhook,
}

/// The result of one run.
pub(crate) struct Run {
    /// How many events were drained.
    pub events: u32,
    /// The resources that the contender's process used.
    pub usage: Usage,
    /// Processor time of the portal's process: an upper bound for the time spent waiting for the portal.
    pub portal_cpu_s: f64,
}

impl Contender {
    pub(crate) const ALL: [Self; 5] =
        [Self::Bare, Self::Durable, Self::RelayToFile, Self::RelayHolding, Self::RelayToWebhook];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "(a) get and confirm only",
            Self::Durable => "(b) naive durable script",
            Self::RelayToFile => "(c) relay, file, hold 0s",
            Self::RelayHolding => "(d) relay, file, hold 30s",
            Self::RelayToWebhook => "(e) relay, webhook sink",
        }
    }

    /// Drains a new backlog of `events`, or the webhook's share of it.
    pub(crate) fn run(self, events: u32) -> Run {
        let events = match self {
            Self::RelayToWebhook => (events / WEBHOOK_SHARE).next_multiple_of(PAGE),
            Self::Bare | Self::Durable | Self::RelayToFile | Self::RelayHolding => events,
        };
        let portal = Portal::start(events);
        let folder = folder();
        let path = folder.path().to_str().unwrap();
        let idle_cpu_s = cpu_of(portal.id());
        let usage = match self {
            Self::Bare => run(myself(&["bare", &portal.url])),
            Self::Durable => run(myself(&["durable", &portal.url, path])),
            Self::RelayToFile => run(drain(relay(folder.path(), &portal.url, &format!("{FILE}\n{NO_HOLD}")))),
            Self::RelayHolding => run(drain(relay(folder.path(), &portal.url, FILE))),
            Self::RelayToWebhook => {
                let receiver = Receiver::start();
                let sink = format!("type = \"webhook\"\nurl = \"{}\"", receiver.url);
                run(drain(relay(folder.path(), &portal.url, &sink)))
            }
        };
        let portal_cpu_s = cpu_of(portal.id()) - idle_cpu_s;
        portal.assert_drained(events);
        Run { events, usage, portal_cpu_s }
    }
}

fn drain(mut relay: Command) -> Command {
    relay.arg("--once");
    relay
}

impl Run {
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
