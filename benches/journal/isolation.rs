//! What a healthy file sink notices of its neighbour.

use std::time::Duration;

use crate::daemon::{Daemon, until};
use crate::journey::dead;
use crate::processes::{Background, EAGER, FILE, PROMPT, Portal, folder};
use crate::receivers::{ACCEPT_TIME, Changing, hanging};
use crate::stream::{Tail, stream};
use crate::{Extent, PAGE};

/// It is tried again far more often than by default, which is in nobody's favour.
const RETRY: &str = "retry = { min = \"100ms\", max = \"1s\" }";

/// Who shares the daemon with the file sink, and except for `Full` the source as well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    Nobody,
    /// Its port is closed.
    Dead,
    /// It accepts connections and never answers.
    Hanging,
    /// Its port is closed, and a backlog waits for it.
    Behind,
    /// Its port is closed, and the journal of its own source is full.
    Full,
    /// Its dead letters are sent again meanwhile.
    Replay,
}

impl Neighbour {
    pub const ALL: [Self; 6] =
        [Self::Nobody, Self::Dead, Self::Hanging, Self::Behind, Self::Full, Self::Replay];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Dead => "dead",
            Self::Hanging => "hanging",
            Self::Behind => "dead, far behind",
            Self::Full => "full journal",
            Self::Replay => "dead-letters replay",
        }
    }

    /// The latencies of a live stream in its presence.
    pub fn run(self, extent: Extent) -> Vec<Duration> {
        let backlog = match self {
            Self::Nobody | Self::Dead | Self::Hanging | Self::Full => 0,
            Self::Behind => extent.behind,
            // At least as many as can be replayed while the stream lasts.
            Self::Replay => u32::try_from(extent.stream.as_millis() / ACCEPT_TIME.as_millis())
                .unwrap()
                .next_multiple_of(PAGE),
        };
        let (portal, folder) = (Portal::start_with(backlog, &["--chats", "1000"]), folder());
        let (other, changing) = (Portal::start(extent.behind), Changing::start());
        let neighbour = self.sections(&other, &changing);
        let sections = format!("[sinks.bench]\n{FILE}\nsources = [\"bench\"]\n{neighbour}");
        let daemon = Daemon::start(folder.path(), &portal.url, EAGER, &sections);
        until("it has polled, and the backlog is in the journal", || {
            let stats = portal.stats();
            stats["requests"]["im.v2.Event.get"].as_u64() > Some(1)
                && stats["users"]["1"]["confirmed"] == backlog
        });
        let mut tail = Tail::of(&folder.path().join("events.jsonl"));
        tail.skip(backlog);
        let _replay = self.begin(&daemon, &changing, backlog);
        stream(&portal, &mut tail, extent.stream)
    }

    /// Of the configuration.
    fn sections(self, other: &Portal, changing: &Changing) -> String {
        let sink = match self {
            Self::Nobody => return String::new(),
            Self::Dead | Self::Behind => dead(),
            Self::Hanging => format!("type = \"webhook\"\nurl = \"{}\"\ntimeout = \"1s\"", hanging()),
            Self::Full => format!("{}\nsources = [\"other\"]", dead()),
            Self::Replay => format!(
                "type = \"webhook\"\nurl = \"{}\"\nconcurrency = 64\nhold_after_rejections = 1000000",
                changing.url
            ),
        };
        let sink = format!("[sinks.neighbour]\n{sink}\n{RETRY}");
        if self != Self::Full {
            return sink;
        }
        let (url, authority) = (&other.url, other.url.split('/').nth(2).unwrap());
        format!(
            "{sink}\n[sources.other]\nwebhook_url = \"{url}\"\n{EAGER}\n{PROMPT}\n\
             [portals.\"{authority}\"]\nplan = \"self-hosted\"\n[journal]\nmax_size = \"4MiB\""
        )
    }

    /// Waits until the trouble is there; a replay lasts as long as what is returned.
    fn begin(self, daemon: &Daemon, changing: &Changing, backlog: u32) -> Option<Background> {
        match self {
            Self::Nobody | Self::Dead | Self::Hanging | Self::Behind => None,
            Self::Full => {
                until("the journal is full", || daemon.has_said("polling stops"));
                None
            }
            Self::Replay => {
                until("all is rejected", || daemon.buried("neighbour") == backlog);
                changing.accept();
                let mut replay = daemon.command(&["dead-letters", "replay", "--sink", "neighbour"]);
                Some(Background(replay.spawn().unwrap()))
            }
        }
    }
}
