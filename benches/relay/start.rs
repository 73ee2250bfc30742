//! How long the relay takes from nothing to its first delivered event.

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::processes::{Background, FILE, Portal, folder, relay};

const TRIES: usize = 10;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_micros(200);

/// Longer than this is no start.
const PATIENCE: Duration = Duration::from_secs(10);

/// From the start of the process, in an empty folder, to a whole line in the file; each try.
pub fn to_first_delivered() -> Vec<Duration> {
    // A relay without a state begins at the front, so the one event waits for each of them.
    let portal = Portal::start(1);
    (0..TRIES).map(|_| once(&portal)).collect()
}

fn once(portal: &Portal) -> Duration {
    let folder = folder();
    let mut command = relay(folder.path(), &portal.url, FILE);
    let started = Instant::now();
    let _relay = Background(command.stdin(Stdio::null()).spawn().unwrap());
    while !holds_a_line(&folder.path().join("events.jsonl")) {
        assert!(started.elapsed() < PATIENCE, "no event came");
        thread::sleep(LOOK);
    }
    started.elapsed()
}

fn holds_a_line(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|content| content.ends_with(b"\n"))
}
