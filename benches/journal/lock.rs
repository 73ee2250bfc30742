//! How long the daemon keeps others from writing to its state file: for so long a commit may wait. Most of that is the
//! disk's time, and on a disk that others use as well it says little alone: so a write of our own is timed beside it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How often the lock is asked for while somebody has it; the error of a wait at most.
const RETRY: Duration = Duration::from_micros(250);

/// And otherwise.
const LOOK: Duration = Duration::from_millis(5);

/// What was waited for.
pub struct Waits {
    /// The write lock, each time.
    pub lock: Vec<Duration>,
    /// The disk, for a page that nobody else writes, each time.
    pub disk: Vec<Duration>,
}

/// Does `work`, and again and again asks for the write lock of `state` meanwhile and writes a page beside it. Returns what
/// came of the work, and how long each of these took.
pub fn watched<T>(state: &Path, work: impl FnOnce() -> T) -> (T, Waits) {
    let is_over = AtomicBool::new(false);
    let repeated = |mut once: Box<dyn FnMut()>| {
        let mut waits = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let started = Instant::now();
            once();
            waits.push(started.elapsed());
            thread::sleep(LOOK);
        }
        waits
    };
    thread::scope(|scope| {
        let lock = scope.spawn(|| repeated(locking(state)));
        let disk = scope.spawn(|| repeated(writing(&state.with_extension("probe"))));
        let outcome = work();
        is_over.store(true, Ordering::Relaxed);
        (outcome, Waits { lock: lock.join().unwrap(), disk: disk.join().unwrap() })
    })
}

fn locking(state: &Path) -> Box<dyn FnMut()> {
    let connection = Connection::open(state).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    Box::new(move || {
        while connection.execute_batch("BEGIN IMMEDIATE").is_err() {
            thread::sleep(RETRY);
        }
        connection.execute_batch("ROLLBACK").unwrap();
    })
}

fn writing(path: &Path) -> Box<dyn FnMut()> {
    let file = File::create(path).unwrap();
    Box::new(move || {
        file.write_all_at(&[1; 4096], 0).unwrap();
        file.sync_data().unwrap();
    })
}
