//! The effect of a failing sink on a healthy file sink in the same daemon.
//!
//! A second healthy sink gets the same stream at the same time, alone in its own daemon. So other load on the machine
//! affects both.

use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::{Daemon, until};
use crate::journey::dead;
use crate::processes::{Background, EAGER, FILE, PROMPT, Portal, folder};
use crate::receivers::{ACCEPT_TIME, Changing, hanging};
use crate::stream::{Tail, stream};
use crate::{Extent, PAGE};

/// It is retried far more often than by default, which makes the test harder.
const RETRY: &str = "retry = { min = \"100ms\", max = \"1s\" }";

/// The sink that shares the daemon with the file sink, and except for `Full` also the source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Neighbour {
    Nobody,
    /// Its port is closed.
    Dead,
    /// It accepts connections and never answers.
    Hanging,
    /// Its port is closed, and a backlog waits for it.
    Behind,
    /// Its port is closed, and the journal of its own source is full.
    Full,
    /// Its dead letters are replayed at the same time.
    Replay,
}

impl Neighbour {
    pub(crate) const ALL: [Self; 6] =
        [Self::Nobody, Self::Dead, Self::Hanging, Self::Behind, Self::Full, Self::Replay];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Dead => "dead",
            Self::Hanging => "hanging",
            Self::Behind => "dead, far behind",
            Self::Full => "full journal",
            Self::Replay => "dead-letters replay",
        }
    }

    /// The latencies of a live stream beside this sink, and of the same stream without it.
    pub(crate) fn run(self, extent: Extent) -> Pair {
        let (mut beside, mut alone) = (World::start(self, extent), World::start(Self::Nobody, extent));
        let _replay = self.begin(&beside);
        thread::scope(|scope| {
            let alone = scope.spawn(|| stream(&alone.portal, &mut alone.tail, extent.stream));
            let beside = stream(&beside.portal, &mut beside.tail, extent.stream);
            Pair { beside, alone: alone.join().unwrap() }
        })
    }

    /// How many events wait at the start.
    fn backlog(self, extent: Extent) -> u32 {
        match self {
            Self::Nobody | Self::Dead | Self::Hanging | Self::Full => 0,
            Self::Behind => extent.behind,
            // At least as many as can be replayed during the stream.
            Self::Replay => {
                let most = extent.stream.as_millis() / ACCEPT_TIME.as_millis();
                u32::try_from(most).unwrap().next_multiple_of(PAGE)
            }
        }
    }

    /// The sections of the configuration.
    fn sections(self, other: Option<&Portal>, changing: &Changing) -> String {
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
        let Some(Portal { url, .. }) = other else { return sink };
        let authority = url.split('/').nth(2).unwrap();
        format!(
            "{sink}\n[sources.other]\nwebhook_url = \"{url}\"\n{EAGER}\n{PROMPT}\n\
             [portals.\"{authority}\"]\nplan = \"self-hosted\"\n[journal]\nmax_size = \"4MiB\""
        )
    }

    /// Waits until the sink is in this state. A replay lasts as long as the returned value lives.
    fn begin(self, world: &World) -> Option<Background> {
        let World { daemon, changing, backlog, .. } = world;
        match self {
            Self::Nobody | Self::Dead | Self::Hanging | Self::Behind => None,
            Self::Full => {
                until("the journal is full", || daemon.has_said("polling stops"));
                None
            }
            Self::Replay => {
                until("all is rejected", || daemon.buried("neighbour") == *backlog);
                changing.accept();
                let mut replay = daemon.command(&["dead-letters", "replay", "--sink", "neighbour"]);
                Some(Background(replay.spawn().unwrap()))
            }
        }
    }
}

/// The latencies of the same stream in both daemons.
pub(crate) struct Pair {
    pub beside: Vec<Duration>,
    pub alone: Vec<Duration>,
}

/// A daemon with a healthy sink and a second sink, which has the backlog.
struct World {
    backlog: u32,
    tail: Tail,
    daemon: Daemon,
    portal: Portal,
    changing: Changing,
    _other: Option<Portal>,
    _folder: TempDir,
}

impl World {
    fn start(sibling_path: Neighbour, extent: Extent) -> Self {
        let backlog = sibling_path.backlog(extent);
        let (portal, folder) = (Portal::start_with(backlog, &["--chats", "1000"]), folder());
        let other = (sibling_path == Neighbour::Full).then(|| Portal::start(extent.behind));
        let changing = Changing::start();
        let sibling_path = sibling_path.sections(other.as_ref(), &changing);
        let sections = format!("[sinks.bench]\n{FILE}\nsources = [\"bench\"]\n{sibling_path}");
        let daemon = Daemon::start(folder.path(), &portal.url, EAGER, &sections);
        until("it has polled, and the backlog is in the journal", || {
            let stats = portal.stats();
            stats["requests"]["im.v2.Event.get"].as_u64() > Some(1)
                && stats["users"]["1"]["confirmed"] == backlog
        });
        let mut tail = Tail::of(&folder.path().join("events.jsonl"));
        tail.skip(backlog);
        Self { backlog, tail, daemon, portal, changing, _other: other, _folder: folder }
    }
}
