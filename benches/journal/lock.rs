//! How long the daemon blocks other writers of its state file, which is the longest delay of a commit. Most of it is
//! disk time, which says little on a shared disk. So a write of our own to the same disk is timed as well.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How often the lock is tried while it is taken, which is also the error of a measurement.
const RETRY: Duration = Duration::from_micros(250);

/// The interval between attempts otherwise.
const LOOK: Duration = Duration::from_millis(5);

/// The measured waiting times.
pub(crate) struct Waits {
    /// Each wait for the write lock.
    pub lock: Vec<Duration>,
    /// Each wait for the disk, for a page that no other process writes.
    pub disk: Vec<Duration>,
}

/// Runs `work`, and in parallel takes the write lock of `state` and writes a page beside it, again and again. Returns
/// the result of `work` and these times.
pub(crate) fn watched<T>(state: &Path, work: impl FnOnce() -> T) -> (T, Waits) {
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
