//! How long the daemon keeps others from writing to its state file: for so long a commit may wait.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How often the lock is asked for while somebody has it; the error of a wait at most.
const RETRY: Duration = Duration::from_micros(250);

/// And otherwise.
const LOOK: Duration = Duration::from_millis(2);

/// Does `work` and asks for the write lock of `state` meanwhile, again and again. Returns what came of the work, and how
/// long each wait took.
pub fn watched<T>(state: &Path, work: impl FnOnce() -> T) -> (T, Vec<Duration>) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let connection = Connection::open(state).unwrap();
            connection.busy_timeout(Duration::ZERO).unwrap();
            let mut waits = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                waits.push(wait(&connection));
                thread::sleep(LOOK);
            }
            waits
        });
        let outcome = work();
        is_over.store(true, Ordering::Relaxed);
        (outcome, waits.join().unwrap())
    })
}

fn wait(connection: &Connection) -> Duration {
    let started = Instant::now();
    while connection.execute_batch("BEGIN IMMEDIATE").is_err() {
        thread::sleep(RETRY);
    }
    let waited = started.elapsed();
    connection.execute_batch("ROLLBACK").unwrap();
    waited
}
