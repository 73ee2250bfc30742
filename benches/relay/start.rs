//! The time from the start of the relay to its first delivered event.

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::processes::{Background, FILE, Portal, folder, relay};

const TRIES: usize = 10;

/// How often the file is checked.
const LOOK: Duration = Duration::from_micros(200);

/// The longest accepted time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time of each try, from the start of the process in an empty folder to a complete line in the file.
pub(crate) fn to_first_delivered() -> Vec<Duration> {
    // A relay without a state starts at the beginning of the queue, so the same event waits for each of them.
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
