//! What a healthy file sink notices of its neighbour: how long events of a live stream take to its file.

use std::fs::File;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::Extent;
use crate::arrivals::{Arrivals, MARK};
use crate::daemon::{Daemon, until};
use crate::journey::dead;
use crate::processes::{FILE, Portal, folder};

/// The live stream: 100 events a second.
const INTERVAL: Duration = Duration::from_millis(10);

/// How often the file is looked at; the error of a latency at most.
const LOOK: Duration = Duration::from_millis(1);

/// Longer than this no event is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who shares the source with the file sink.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    Nobody,
    /// Its port is closed.
    Dead,
    /// It accepts connections and never answers.
    Hanging,
    /// Its port is closed, and half of the backlog waits for it.
    Behind,
}

impl Neighbour {
    pub const ALL: [Self; 4] = [Self::Nobody, Self::Dead, Self::Hanging, Self::Behind];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Dead => "dead",
            Self::Hanging => "hanging",
            Self::Behind => "dead, far behind",
        }
    }

    /// The latencies of a live stream in its presence.
    pub fn run(self, extent: Extent) -> Vec<Duration> {
        let backlog = if self == Self::Behind { extent.events / 2 } else { 0 };
        let (portal, folder) = (Portal::start(backlog), folder());
        let sinks = format!("[sinks.bench]\n{FILE}\n{}", self.sink());
        let _daemon = Daemon::start(folder.path(), &portal.url, "", &sinks);
        until("it has polled, and the backlog is in the journal", || {
            let stats = portal.stats();
            stats["requests"]["im.v2.Event.get"].as_u64() > Some(1)
                && stats["users"]["1"]["confirmed"] == backlog
        });
        let mut tail = Tail::of(&folder.path().join("events.jsonl"));
        let mut lines = 0;
        while lines < backlog as usize {
            lines += tail.read().lines().count();
            thread::sleep(LOOK);
        }
        stream(&portal, &mut tail, extent.stream)
    }

    /// By its configuration. It is tried again far more often than by default, which is in nobody's favour.
    fn sink(self) -> String {
        let sink = match self {
            Self::Nobody => return String::new(),
            Self::Dead | Self::Behind => dead(),
            Self::Hanging => format!("type = \"webhook\"\nurl = \"{}\"\ntimeout = \"1s\"", hanging()),
        };
        format!("[sinks.neighbour]\n{sink}\nretry = {{ min = \"100ms\", max = \"1s\" }}")
    }
}

/// The address of a receiver that accepts and never answers, as long as this process lives.
fn hanging() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // Kept, or they would be closed.
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    url
}

/// Records events for `length`, and returns how long each took to be in the file.
fn stream(portal: &Portal, tail: &mut Tail, length: Duration) -> Vec<Duration> {
    let epoch = Instant::now();
    let count = u32::try_from(length.as_millis() / INTERVAL.as_millis()).unwrap();
    let mut arrivals = Arrivals::new(epoch);
    thread::scope(|scope| {
        scope.spawn(|| {
            for index in 0..count {
                thread::sleep((epoch + INTERVAL * index).saturating_duration_since(Instant::now()));
                let made = epoch.elapsed().as_micros();
                portal.ask("POST /sandbox/events", &format!(r#"{{"user":1,"data":{{"{MARK}":{made}}}}}"#));
            }
        });
        while arrivals.count() < count as usize {
            assert!(epoch.elapsed() < length + PATIENCE, "events are missing in the file");
            arrivals.note(&tail.read());
            thread::sleep(LOOK);
        }
    });
    arrivals.latencies_from(epoch)
}

/// The end of a file that grows.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    half: Vec<u8>,
}

impl Tail {
    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, half: Vec::new() }
    }

    /// The whole lines that are new.
    fn read(&mut self) -> String {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return String::new() };
        file.read_to_end(&mut self.half).unwrap();
        let whole = self.half.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let rest = self.half.split_off(whole);
        String::from_utf8(std::mem::replace(&mut self.half, rest)).unwrap()
    }
}
